#!/usr/bin/env bash
# A real PostgreSQL and a real SLURM on this one machine, from Debian's packages, for tests/cluster.
#   cluster.sh start   install what is missing, start what does not run, wait until a node is idle
#   cluster.sh stop    stop all of it and forget its data
# Needs root and apt. Listens on the loopback interface only; `$PIPELINE_CLUSTER/env` holds what tests need.
set -euo pipefail

HOME_DIR=${PIPELINE_CLUSTER:-${TMPDIR:-/tmp}/pipeline-cluster}
PG_PORT=${PIPELINE_PG_PORT:-54329}
DB_PORT=54330 DBD_PORT=54331 CTLD_PORT=54332 SLURMD_PORT=54333
export SLURM_CONF=$HOME_DIR/slurm.conf
PACKAGES=(postgresql slurm-wlm slurmdbd mariadb-server munge)

refuse() {
  mkdir -p "$HOME_DIR"
  echo "$1" >"$HOME_DIR/why"
  echo "no cluster: $1" >&2
  exit 3
}

# Tries a command for as many seconds as its first argument says.
wait_for() {
  local left=$1
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 1
  done
}

runs() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

install_packages() {
  command -v slurmctld slurmd slurmdbd munged mariadbd >/dev/null && ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 && return
  command -v apt-get >/dev/null || refuse "apt-get is missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || refuse "apt-get update failed"
  # Debian would start each service at once, with settings of its own.
  local policy=/usr/sbin/policy-rc.d own=
  [ -e $policy ] || { own=yes; printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; }
  apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >"$HOME_DIR/apt.log" 2>&1 ||
    { [ -z "$own" ] || rm -f $policy; refuse "apt-get install ${PACKAGES[*]} failed"; }
  [ -z "$own" ] || rm -f $policy
}

start_postgres() {
  local bin data=$HOME_DIR/postgres
  bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
  if [ ! -d "$data" ]; then
    install -d -o postgres -m 700 "$data"
    runuser -u postgres -- "$bin/initdb" -D "$data" -A trust -U pipeline >"$HOME_DIR/initdb.log"
  fi
  runs_postgres() { runuser -u postgres -- "$bin/pg_ctl" -D "$data" status; }
  runs_postgres >/dev/null 2>&1 || runuser -u postgres -- "$bin/pg_ctl" -D "$data" -w -l "$data/log" \
    -o "-p $PG_PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=$data" start >/dev/null
}

start_accounting() {
  local data=$HOME_DIR/mariadb
  if [ ! -d "$data/mysql" ]; then
    install -d -o mysql -m 755 "$data"
    mariadb-install-db --no-defaults --user=mysql --datadir="$data" --skip-test-db >"$HOME_DIR/mariadb.log" 2>&1
  fi
  if ! runs "$data/pid"; then
    setsid mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$data/socket" \
      --port=$DB_PORT --bind-address=127.0.0.1 --pid-file="$data/pid" --innodb-buffer-pool-size=64M \
      >>"$HOME_DIR/mariadb.log" 2>&1 </dev/null &
  fi
  wait_for 30 mariadb --no-defaults --socket="$data/socket" -e "select 1" || refuse "MariaDB did not start"
  mariadb --no-defaults --socket="$data/socket" -e "create database if not exists slurm_acct_db;
    create user if not exists slurm@'127.0.0.1' identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';
    create user if not exists slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@localhost"
  cat >"$HOME_DIR/slurmdbd.conf" <<END
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DB_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
PidFile=$HOME_DIR/slurmdbd.pid
LogFile=$HOME_DIR/slurmdbd.log
END
  chmod 600 "$HOME_DIR/slurmdbd.conf"
  runs "$HOME_DIR/slurmdbd.pid" || slurmdbd
  wait_for 30 sacctmgr -n list cluster || refuse "slurmdbd did not start; see $HOME_DIR/slurmdbd.log"
  sacctmgr -i add cluster pipeline >/dev/null 2>&1 || true # it is known already
}

write_slurm_conf() {
  local host memory
  host=$(hostname -s)
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  cat >"$SLURM_CONF" <<END
ClusterName=pipeline
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=$CTLD_PORT
SlurmdPort=$SLURMD_PORT
AuthType=auth/munge
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
ReturnToService=2
KillWait=3
StateSaveLocation=$HOME_DIR/slurmctld
SlurmdSpoolDir=$HOME_DIR/slurmd
SlurmctldPidFile=$HOME_DIR/slurmctld.pid
SlurmdPidFile=$HOME_DIR/slurmd.pid
SlurmctldLogFile=$HOME_DIR/slurmctld.log
SlurmdLogFile=$HOME_DIR/slurmd.log
# More places than cores: what is tested is the way of a job, not its speed.
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$HOME_DIR/cgroup.conf"
}

start_slurm() {
  mkdir -p "$HOME_DIR/slurmctld" "$HOME_DIR/slurmd"
  runs "$HOME_DIR/slurmctld.pid" || slurmctld
  runs "$HOME_DIR/slurmd.pid" || slurmd
  idle() { sinfo -h -o %T | grep -Eq '^(idle|mixed|allocated)$'; }
  wait_for 60 idle || refuse "no node became idle; see $HOME_DIR/slurmctld.log and slurmd.log"
}

start() {
  mkdir -p "$HOME_DIR"
  chmod 755 "$HOME_DIR"
  rm -f "$HOME_DIR/why" "$HOME_DIR/env"
  [ "$(id -u)" = 0 ] || refuse "tests/cluster/cluster.sh start needs root"
  install_packages
  start_postgres
  install -d -o munge -m 755 /run/munge
  munge -n >/dev/null 2>&1 || runuser -u munge -- munged --pid-file=/run/munge/munged.pid
  wait_for 10 munge -n || refuse "munged did not start"
  write_slurm_conf # every command of SLURM's reads it
  start_accounting
  start_slurm
  cat >"$HOME_DIR/env" <<END
SLURM_CONF=$SLURM_CONF
PIPELINE_POSTGRES=postgresql+psycopg2://pipeline@127.0.0.1:$PG_PORT
END
  echo "cluster: PostgreSQL on 127.0.0.1:$PG_PORT; $(sinfo -h -o '%D node, %C CPUs (allocated/idle/other/total)')"
}

stop() {
  local daemon bin
  [ "$(id -u)" = 0 ] || return 0
  [ ! -f "$SLURM_CONF" ] || scancel --user=root >/dev/null 2>&1 || true
  for daemon in slurmd.pid slurmctld.pid slurmdbd.pid mariadb/pid; do
    ! runs "$HOME_DIR/$daemon" || kill "$(cat "$HOME_DIR/$daemon")" || true
  done
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
  [ ! -d "$HOME_DIR/postgres" ] || runuser -u postgres -- "$bin/pg_ctl" -D "$HOME_DIR/postgres" -m fast stop >/dev/null 2>&1 || true
  for daemon in slurmd.pid slurmctld.pid slurmdbd.pid mariadb/pid; do
    gone() { ! runs "$HOME_DIR/$daemon"; }
    wait_for 20 gone || true
  done
  rm -rf "$HOME_DIR"
}

case ${1:-} in
start | stop) "$1" ;;
*)
  echo "usage: $0 start|stop" >&2
  exit 2
  ;;
esac
