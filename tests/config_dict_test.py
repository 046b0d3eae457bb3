import json

from emergence.config import from_dict, override, to_dict


def test_a_config_survives_json(tiny):
  config = override(tiny, ["train.learning_rate_by_width={16: 0.003, 8: 1}"])
  text = json.dumps(to_dict(config))
  assert from_dict(json.loads(text)) == config
  assert config.train.learning_rate_at(16) == 0.003
  assert config.train.learning_rate_at(8) == 1.0
  assert config.train.learning_rate_at(32) == config.train.learning_rate
