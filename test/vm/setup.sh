# The machine has no network: nothing is to wait for one, or to fetch.
echo machine >/etc/hostname
echo '127.0.0.1 localhost machine' >/etc/hosts
printf '%s\n' '/dev/vda / ext4 defaults 0 1' '/dev/vdb /programs ext4 ro 0 0' >/etc/fstab
mkdir /programs
useradd --create-home --uid 1000 --shell /bin/bash ada
ln -sf /dev/null /etc/systemd/system/systemd-timesyncd.service
ln -sf /dev/null /etc/systemd/system/apt-daily.timer
ln -sf /dev/null /etc/systemd/system/apt-daily-upgrade.timer
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*_*
# An address that is not loopback's, as machines have one, that leads nowhere.
cat >/etc/systemd/system/machine.service <<'UNIT'
[Unit]
Wants=systemd-logind.service
After=multi-user.target
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS1
StandardError=inherit
WorkingDirectory=/tmp
EnvironmentFile=/programs/environment
ExecStartPre=ip link add machine0 type dummy
ExecStartPre=ip address add 198.51.100.7/24 dev machine0
ExecStartPre=ip link set machine0 up
ExecStart=/programs/machine.test -test.v -test.timeout 4h $TESTS
ExecStopPost=/bin/sh -c 'echo "vm: $$SERVICE_RESULT" >/dev/ttyS1'
UNIT
mkdir -p /etc/systemd/system/graphical.target.wants
ln -s ../machine.service /etc/systemd/system/graphical.target.wants/
