#!/usr/bin/env bash
#
# A machine for tests/package.rs, run by root: this one's files, over which whatever is written there lies in memory, with
# a systemd of its own, which runs nothing but a journal. Runs the bash that it reads from standard input, in a folder that
# has these files; at its end, whatever ran there is gone with whatever was written.
#
#   tests/support/machine.sh FILE… < what-to-do
#
# It has a network of its own, too, in which there is nobody else: whatever port it listens at is free.

set -euo pipefail

readonly root=/mnt/root # within; without, there is nothing

main() {
    # What unshare itself says, when what it started is killed, nobody needs to know.
    unshare --mount --uts --ipc --pid --net --cgroup --fork --kill-child -- "$0" --boot "$@" </dev/null 3>&2 >/dev/null 2>&1 &
    trap 'kill -KILL "$machine" 2>/dev/null; wait 2>/dev/null' EXIT
    machine=
    until [[ -n $machine ]]; do machine=$(pgrep --parent $!) || sleep 0.02; done
    local within=(nsenter --target "$machine" --mount --uts --ipc --pid --net --cgroup --root --wd env --ignore-environment
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
    local deadline=$((SECONDS + 20))
    until "${within[@]}" systemctl is-active --quiet basic.target 2>/dev/null; do
        ((SECONDS < deadline)) || { echo 'the machine does not come up' >&2; exit 1; }
        sleep 0.05
    done
    # No test takes so long; what waits for ever ends there.
    "${within[@]}" timeout 300 bash -c 'cd /tmp && exec bash'
}

boot() {
    exec 2>&3 3>&-
    # Of a file system of its own: an overlay does not lie over the folder it is in.
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 machine /mnt
    mkdir /mnt/changes /mnt/work $root
    mount -t overlay -o lowerdir=/,upperdir=/mnt/changes,workdir=/mnt/work machine $root
    mount -t proc proc $root/proc
    # Nothing there may change the kernel that it shares with us.
    mount --bind $root/proc/sys $root/proc/sys
    mount -o remount,bind,ro $root/proc/sys
    mount -t sysfs -o ro sysfs $root/sys
    mount -t tmpfs -o mode=755 cgroup $root/sys/fs/cgroup
    mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
    mount -t tmpfs -o mode=755 run $root/run
    mount -t tmpfs -o mode=1777 tmp $root/tmp
    ip link set lo up
    make_devices
    leave_out_what_the_machine_has_to_do
    cp --target-directory=$root/tmp -- "$@"
    # In a root that was only changed to (chroot) nobody gets a user namespace, and PrivateUsers= is refused.
    cd $root
    mkdir $root/run/machine
    pivot_root . run/machine
    umount --lazy /run/machine
    exec env --ignore-environment container=tests PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=basic.target --log-target=null --show-status=no
}

make_devices() {
    local device
    mount -t tmpfs -o mode=755 dev $root/dev
    for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
        # shellcheck disable=SC2086
        mknod -m 666 $root/dev/${device%% *} c ${device#* }
    done
    mkdir $root/dev/{pts,shm,mqueue}
    mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts
    ln -s pts/ptmx $root/dev/ptmx
    ln -s /proc/self/fd $root/dev/fd
}

# It is no machine's place to load modules, to mount, or to start what else is installed on ours.
leave_out_what_the_machine_has_to_do() {
    local folder
    for folder in $root/{etc,lib,usr/lib}/systemd/system/*.{wants,requires}; do
        [[ ! -d $folder ]] || find "$folder" -mindepth 1 -not -name 'systemd-journald*' -delete
    done
    find $root/run/systemd $root/etc/systemd/system -name 'doorpost*' -delete 2>/dev/null || true
    : >$root/etc/fstab
    rm -f $root/usr/sbin/policy-rc.d
}

case ${1-} in
--boot) boot "${@:2}" ;;
*) main "$@" ;;
esac
