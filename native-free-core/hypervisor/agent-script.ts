// The agent that a guest of kind para finds in the tree of its peers: a POSIX shell script, text as it is read there.
// Owns what a guest tells of itself and how it yields; each line runs in the guest, under busybox as well.
// Never runs on the host.

export const agentScript = `#!/bin/sh
# Tells this guest's peers what it wants, and leaves the host to those whose work is more urgent.
#
#   agent.sh [-u URGENCY] [-i SECONDS] [-l PERCENT] [COMMAND [ARGUMENT...]]
#
#   -u  how urgent this guest's work is, 0 to 100; 50 where it does not say
#   -i  seconds between two looks at the peers; 1
#   -l  percent of a core that COMMAND always has, whatever others want; 10
#
# COMMAND is the guest's work. Where host/order says "urgency", the host shares its processors out by what guests
# say here, and nothing is held back. Elsewhere, while others want more of the host more urgently than there is, it has what they
# leave: by cpu.max of a cgroup where the kernel has version 2, else by being stopped and continued. As soon as
# the host has something left, it has all again. The agent ends with it, and with its status. Without a COMMAND
# the agent only tells what the guest wants.

tree=\${0%/*}
urgency=50 every=1 least=10
usage() {
  echo "usage: agent.sh [-u URGENCY] [-i SECONDS] [-l PERCENT] [COMMAND [ARGUMENT...]]" >&2
  exit 2
}
while getopts u:i:l: option; do
  case $option in
    u) urgency=$OPTARG ;;
    i) every=$OPTARG ;;
    l) least=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
for number in "$urgency" "$every" "$least"; do
  case $number in '' | *[!0-9]*) usage ;; esac
done
[ "$every" -ge 1 ] || usage
[ -w "$tree/self/cpu-demand" ] || {
  echo "agent.sh: $tree is not the tree of Trivisor: mount -t 9p -o trans=virtio trivisor DIRECTORY" >&2
  exit 1
}

# Both without a new process: reads a number, or nothing where the peer has just gone.
number=0
look() { number=; { read -r number < "$1"; } 2> /dev/null; [ -n "$number" ]; }
tell() { { echo "$2" > "$tree/self/$1"; } 2> /dev/null; }

group=
work=
limit=max
state=running

if [ $# -gt 0 ]; then
  base=/sys/fs/cgroup
  [ -e $base/cgroup.controllers ] || mount -t cgroup2 none $base 2> /dev/null
  { echo +cpu > $base/cgroup.subtree_control; } 2> /dev/null
  if mkdir -p $base/trivisor 2> /dev/null && [ -w $base/trivisor/cpu.max ]; then group=$base/trivisor; fi
  # A process group of its own, so that it can be stopped with all that it starts.
  if [ -n "$group" ]; then
    sh -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$group" "$@" &
  else
    setsid "$@" &
  fi
  work=$!
fi

leave() {
  tell cpu-demand; tell memory-demand; tell io-demand; tell urgency
  [ -n "$group" ] && { echo max > "$group/cpu.max"; } 2> /dev/null
  [ "$state" = stopped ] && kill -CONT -"$work" 2> /dev/null
}
trap 'leave; [ -n "$work" ] && kill "$work" 2> /dev/null; exit 143' TERM INT HUP

tell urgency "$urgency"
look "$tree/self/vcpus"
vcpus=$number
order=weight
{ read -r order < "$tree/host/order"; } 2> /dev/null

# Sums of what the kernel counts: jiffies that vCPUs worked or wanted to, and all; sectors of disks.
count() {
  read -r _ user nice system idle iowait irq softirq steal _ < /proc/stat
  worked=$((user + nice + system + irq + softirq))
  wished=$((worked + steal))
  all=$((wished + idle + iowait))
  sectors=0
  while read -r _ _ _ _ _ got _ _ _ put _; do sectors=$((sectors + got + put)); done < /proc/diskstats
  throttled=0
  [ -n "$group" ] && while read -r key value; do
    [ "$key" = nr_throttled ] && throttled=$value
  done < "$group/cpu.stat"
}
count
worked0=$worked wished0=$wished all0=$all sectors0=$sectors throttled0=$throttled
wanted=0 credit=0 mine=max

# What others leave of the host, in percent of a core; "max" where there is enough for all.
share() {
  urgent=0
  for peer in "$tree"/peers/*; do
    look "$peer/urgency" && [ "$number" -gt "$urgency" ] || continue
    look "$peer/cpu-demand" && urgent=$((urgent + number))
  done
  look "$tree/host/cpu" && capacity=$number || return
  look "$tree/host/load" && load=$number || return
  mine=max
  [ "$order" = urgency ] && return
  [ $urgent -eq 0 ] && return
  [ $((urgent + wanted)) -le "$capacity" ] && return
  mine=$((capacity - urgent))
  # What nobody uses now, whatever he said that he wanted.
  idle=$((used + capacity - load))
  [ $mine -lt $idle ] && mine=$idle
  [ $mine -lt "$least" ] && mine=$least
  [ $mine -ge $((100 * vcpus)) ] && mine=max
}

hold() {
  if [ -n "$group" ]; then
    [ "$mine" = "$limit" ] && return
    limit=$mine
    [ "$mine" = max ] || mine="$((mine * 1000)) 100000"
    { echo "$mine" > "$group/cpu.max"; } 2> /dev/null
    return
  fi
  # By turns: so many seconds of a hundred.
  [ "$mine" = max ] && mine=$((100 * vcpus))
  credit=$((credit + mine / vcpus))
  if [ $credit -ge 100 ]; then
    credit=$((credit - 100))
    [ $state = stopped ] && kill -CONT -"$work" 2> /dev/null
    state=running
  else
    [ $state = running ] && kill -STOP -"$work" 2> /dev/null
    state=stopped
  fi
}

while :; do
  sleep "$every"
  if [ -n "$work" ] && ! kill -0 "$work" 2> /dev/null; then
    wait "$work"
    status=$?
    leave
    exit $status
  fi
  was=$state
  count
  span=$((all - all0))
  [ $span -gt 0 ] || span=1
  used=$((100 * vcpus * (worked - worked0) / span))
  # Work that is held back wants what it wanted before.
  if [ "$throttled" = "$throttled0" ] && [ $was = running ]; then
    wanted=$((100 * vcpus * (wished - wished0) / span))
  fi
  total=0 available=0
  while read -r key value _; do
    case $key in
      MemTotal:) total=$value ;;
      MemAvailable:) available=$value; break ;;
    esac
  done < /proc/meminfo
  tell cpu-demand $wanted
  # What it uses, and a sixth more, so that it need not wait for each page.
  tell memory-demand $(((total - available) * 7 / 6 / 1024 + 16))
  tell io-demand $(((sectors - sectors0) / 2 / every))
  worked0=$worked wished0=$wished all0=$all sectors0=$sectors throttled0=$throttled
  if [ -n "$work" ]; then
    share
    hold
  fi
done
`;
