#!/usr/bin/env bash
# Runs the tests of the tree kernels on an emulated processor with AVX-512, for machines that have none: Bochs boots a
# Debian kernel whose first program is the tests. Takes a few minutes, almost all of them booting. Debian only.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

needed=(bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio zstd busybox-static)
if ! dpkg -s "${needed[@]}" >/dev/null 2>&1; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get install -qq -y --no-install-recommends "${needed[@]}" >/dev/null
fi
# The kernel is unpacked, not installed.
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
(cd "$work" && apt-get download -qq "$kernel" 2>/dev/null && dpkg -x ./*.deb kernel)

tests() { # NAME: the newest binary of these tests, without symbols
    # An emulated instruction takes as long as a hundred others, so these are optimized.
    cargo test --locked --manifest-path "$here/Cargo.toml" --config profile.dev.opt-level=3 --features failpoints --no-run "${@:2}" --message-format=json-render-diagnostics |
        grep -o '"executable":"[^"]*"' | tail -1 | cut -d'"' -f4 | xargs -I{} strip -o "$work/root/$1" {}
}
mkdir -p "$work"/root/{proc,tmp} "$work/root$here/fixtures" "$work"/iso/boot
tests unit --lib
tests it --test it
cp -r "$here/fixtures/models" "$work/root$here/fixtures/"
cp /bin/busybox "$work/root/busybox"
ldd "$work/root/it" | grep -o '/[^ ]*' | xargs -I{} cp --parents {} "$work/root"
cat >"$work/root/init" <<'E2'
#!/busybox sh
/busybox mount -t proc proc /proc
echo "registers: $(/busybox grep -o -m1 'avx512bw' /proc/cpuinfo)"
RUST_BACKTRACE=0 /unit --test-threads=1 score::trees
echo "unit tests: $?"
RUST_BACKTRACE=0 /it --test-threads=1 foreign::every_model
echo "models: $?"
/busybox sleep 1
echo "the end"
/busybox sleep 100
E2
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | zstd -q -T0) >"$work/iso/boot/initrd"
cp "$work"/kernel/boot/vmlinuz-* "$work/iso/boot/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/"
# Bochs and Linux disagree about the size of compacted register states.
cat >"$work/iso/isolinux.cfg" <<'E2'
default tests
label tests
 kernel /boot/vmlinuz
 append initrd=/boot/initrd console=ttyS0 quiet mitigations=off tsc=reliable lpj=1000000 noxsaves clearcpuid=321,323
E2
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table "$work/iso" 2>/dev/null
cat >"$work/bochsrc" <<E2
megs: 2048
cpu: model=corei7_skylake_x, count=1, ips=100000000, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/console
display_library: rfb, options="timeout=0"
log: $work/bochs.log
panic: action=fatal
clock: sync=none
E2
echo c >"$work/continue"
touch "$work/console"
bochs -q -f "$work/bochsrc" -rc "$work/continue" >"$work/bochs.out" 2>&1 &
for _ in $(seq "${EMULATE_SECONDS:-1800}"); do
    grep -q 'the end\|Kernel panic' "$work/console" && break
    kill -0 $! 2>/dev/null || break
    sleep 1
done
tr -d '\r' <"$work/console"
grep -q '^registers: avx512bw' "$work/console" && [ "$(grep -c -a ': 0.\?$' "$work/console")" = 2 ]
