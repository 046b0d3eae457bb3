#!/usr/bin/env bash
# A Slurm of one node, this machine, for tests; all it writes is in one folder.
#
#   tests/slurm_node.sh install      Debian's packages, where they are missing
#   tests/slurm_node.sh start DIR    prints the file to name in SLURM_CONF
#   tests/slurm_node.sh stop DIR
#
# It has to be root, and DIR short: munge's socket lies in it.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "error: $*" >&2
  exit 1
}

is_installed() {
  for name in slurmctld slurmd munged; do
    command -v "$name" > /dev/null || return 1
  done
}

install() {
  is_installed && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends slurm-wlm munge > /dev/null
}

configure() {
  local host=$1 cpus=$2 port=$3
  # cred_expire is how long a requeued job waits, 120 s by default, and how late a
  # busy machine may start a task. The other times are for tests that cannot wait
  # either.
  cat << EOF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=10
ReturnToService=2
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
}

start() {
  [ "$(id -u)" = 0 ] || fail "only root can start Slurm's daemons"
  is_installed || fail "no Slurm here; $0 install"
  local host
  host=$(hostname -s)
  # slurmd looks itself up.
  getent hosts "$host" > /dev/null || echo "127.0.0.1 $host $mark" >> /etc/hosts
  mkdir -p "$dir"/{munge,state,spool}
  chmod 755 "$dir" "$dir/munge"
  dd if=/dev/urandom of="$dir/munge.key" bs=1 count=1024 status=none
  chmod 600 "$dir/munge.key"
  # Ports of its own, so that two of these do not meet, below those that the
  # system gives to whoever asks for any.
  local cpus port=$((20000 + $$ % 6000 * 2))
  cpus=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  configure "$host" "$cpus" "$port" > "$dir/slurm.conf"
  # By force, for it does not like to be root.
  munged --force --key-file="$dir/munge.key" --socket="$dir/munge/socket" \
    --log-file="$dir/munged.log" --pid-file="$dir/munged.pid" \
    --seed-file="$dir/munge.seed" 2>> "$dir/munged.log"
  export SLURM_CONF=$dir/slurm.conf
  slurmctld -c -f "$SLURM_CONF"
  slurmd -f "$SLURM_CONF"
  for _ in $(seq 600); do
    if [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ]; then
      echo "$SLURM_CONF"
      return
    fi
    sleep 0.1
  done
  for log in "$dir"/*.log; do tail -n 5 "$log" >&2; done
  fail "the node is not idle after 60 s"
}

stop() {
  export SLURM_CONF=$dir/slurm.conf
  scancel --user="$(id -un)" 2> /dev/null || true
  for _ in $(seq 100); do
    [ -n "$(squeue --noheader 2> /dev/null)" ] || break
    sleep 0.1
  done
  for name in slurmctld slurmd munged; do
    if [ -s "$dir/$name.pid" ]; then
      kill "$(cat "$dir/$name.pid")" 2> /dev/null || true
    fi
  done
  if grep -qF "$mark" /etc/hosts; then
    # Not by sed, for in a container the file cannot be replaced.
    local others
    others=$(grep -vF "$mark" /etc/hosts || true)
    echo "$others" > /etc/hosts
  fi
  # They delete these files when they have ended.
  for _ in $(seq 300); do
    compgen -G "$dir/*.pid" > /dev/null || return 0
    sleep 0.1
  done
  fail "still running after 30 s:" "$dir"/*.pid
}

command=${1:-}
dir=${2:-}
case $command in
  install) install ;;
  start | stop)
    [ -n "$dir" ] || fail "$command needs a folder"
    dir=$(realpath -m "$dir")
    # Of our line in /etc/hosts.
    mark="# slurm_node.sh $dir"
    "$command"
    ;;
  *) fail "usage: $0 install, or start DIR, or stop DIR" ;;
esac
