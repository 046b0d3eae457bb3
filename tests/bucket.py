"""A bucket in memory, with the manners of gcsfs.

It takes the place of gcsfs behind `gs://`, so that `epath.Path("gs://…")` goes
through epath's own way to buckets. What it does where a disk does otherwise is
taken from the source of gcsfs (fsspec/gcsfs, gcsfs/core.py at 00628df):
folders are beginnings of names and vanish with their last object, mkdir does
nothing within a bucket, an object appears when its file is closed, appending
warns and overwrites, moving a folder moves one object after the other, and a
listing is remembered until this instance changes it.
"""

import contextlib
import datetime
import importlib
import warnings

import fsspec
from etils.epath.backend import fsspec_backend
from fsspec import config
from fsspec.spec import AbstractBufferedFile


@contextlib.contextmanager
def installed(name):
  """Puts a bucket that is empty behind `gs://name`; yields its class."""
  settings = dict(config.conf)
  Bucket.objects.clear()
  Bucket.buckets = {name}
  for scheme in Bucket.protocol:
    fsspec.register_implementation(scheme, Bucket, clobber=True)
  Bucket.new_machine()
  try:
    yield Bucket
  finally:
    registry = importlib.import_module("fsspec.registry")
    for scheme in Bucket.protocol:
      del registry._registry[scheme]
    config.conf.clear()
    config.conf.update(settings)
    Bucket.new_machine()


class Bucket(fsspec.AbstractFileSystem):
  protocol = ("gs", "gcs")
  # Instances share the objects, as machines do; each has its listings.
  objects: dict[str, tuple[bytes, datetime.datetime]] = {}  # noqa: RUF012
  buckets: set[str] = set()  # noqa: RUF012

  @classmethod
  def new_machine(cls):
    """Forgets all that this process knows of the bucket."""
    cls.clear_instance_cache()
    fsspec_backend._get_filesystem.cache_clear()

  @classmethod
  def other_machine(cls):
    """Another process's view of the bucket."""
    return cls(skip_instance_cache=True)

  def _open(self, path, mode="rb", block_size=None, autocommit=True, **options):
    if "a" in mode:
      warnings.warn("appending is not supported, overwriting", stacklevel=2)
      mode = mode.replace("a", "w")
    return File(self, path, mode, block_size or "default", autocommit)

  def info(self, path, **options):
    path = self._strip_protocol(path)
    if path in self.buckets:
      return {"name": path, "size": 0, "type": "directory"}
    for entry in self.dircache.get(self._parent(path), ()):
      if entry["name"] == path:
        return entry
    if self.dircache.get(path):
      return {"name": path, "size": 0, "type": "directory"}
    if path in self.objects:
      return self._entry(path)
    if any(name.startswith(f"{path}/") for name in self.objects):
      return {"name": path, "size": 0, "type": "directory"}
    raise FileNotFoundError(path)

  def ls(self, path, detail=False, **options):
    path = self._strip_protocol(path)
    listing = self.dircache.get(path) or self._list(path)
    return listing if detail else [entry["name"] for entry in listing]

  def _list(self, path):
    found, prefix = {}, f"{path}/"
    for name in self.objects:
      if name.startswith(prefix):
        child, slash, _ = name[len(prefix) :].partition("/")
        child = prefix + child
        folder = {"name": child, "size": 0, "type": "directory"}
        found[child] = folder if slash else self._entry(child)
    if found:
      self.dircache[path] = listing = [found[name] for name in sorted(found)]
      return listing
    return [] if path in self.buckets else [self.info(path)]

  def mkdir(self, path, create_parents=True, **options):
    bucket, slash, _ = self._strip_protocol(path).partition("/")
    if bucket not in self.buckets:
      if slash and not create_parents:
        raise FileNotFoundError(bucket)
      self.buckets.add(bucket)

  def makedirs(self, path, exist_ok=False):
    pass

  def rmdir(self, path):
    pass

  def rm_file(self, path):
    path = self._strip_protocol(path)
    if path not in self.objects:
      raise FileNotFoundError(path)
    del self.objects[path]
    self.invalidate_cache(self._parent(path))

  def rm(self, path, recursive=False, maxdepth=None):
    paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
    objects = [name for name in paths if name in self.objects]
    if not objects:
      raise FileNotFoundError(path)
    for name in objects:
      self.rm_file(name)

  def cp_file(self, path1, path2, **options):
    source, target = map(self._strip_protocol, (path1, path2))
    if source not in self.objects:
      if self.isdir(source):
        return  # There is nothing to copy of a folder itself.
      raise FileNotFoundError(source)
    self.put_object(target, self.objects[source][0])

  def put_object(self, path, content):
    bucket = path.partition("/")[0]
    if bucket not in self.buckets:
      raise FileNotFoundError(bucket)
    self.objects[path] = (content, datetime.datetime.now(datetime.UTC))
    self.invalidate_cache(self._parent(path))

  def invalidate_cache(self, path=None):
    if path is None:
      self.dircache.clear()
      return
    path = self._strip_protocol(path)
    while path:
      self.dircache.pop(path, None)
      path = self._parent(path)

  def _entry(self, path):
    content, time = self.objects[path]
    return {"name": path, "size": len(content), "type": "file", "mtime": time}


class File(AbstractBufferedFile):
  """What is written goes into the bucket when the file is closed."""

  def _initiate_upload(self):
    self.parts = []

  def _upload_chunk(self, final=False):
    self.parts.append(self.buffer.getvalue())
    if final:
      self.fs.put_object(self.path, b"".join(self.parts))
    return True

  def _fetch_range(self, start, end):
    return self.fs.objects[self.path][0][start:end]


Bucket.file = File
