#!/usr/bin/env bash
# Runs the tests of the tree kernels on an emulated processor with AVX-512, for machines that have none: Bochs boots a
# Debian kernel whose first program is the tests. For Debian 12 on amd64; takes about ten minutes.
#   EMULATE_SECONDS=1800 (how long the emulated machine may take)
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
die() { echo "emulate-avx512: $*" >&2; exit 1; }

needed=(bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio zstd)
missing=()
for package in "${needed[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
if [ ${#missing[@]} -gt 0 ]; then
    echo "emulate-avx512: installing ${missing[*]}" >&2
    $sudo apt-get update -qq
    $sudo apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null || die "the packages cannot be installed"
fi
# The kernel and the shell inside are unpacked, not installed.
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
fetch() { (cd "$work" && apt-get download -qq "$kernel" busybox-static 2>/dev/null); }
fetch || { $sudo apt-get update -qq && fetch; } || die "$kernel and busybox-static cannot be downloaded"
for package in "$work"/*.deb; do
    dpkg -x "$package" "$work/unpacked"
done

tests() { # NAME TARGET...: the newest binary of these tests, without symbols
    # An emulated instruction takes as long as a hundred others, so what is tested is optimized.
    cargo test --locked --manifest-path "$here/Cargo.toml" --config profile.dev.opt-level=3 --features failpoints --no-run "${@:2}" --message-format=json-render-diagnostics |
        grep -o '"executable":"[^"]*"' | tail -1 | cut -d'"' -f4 | xargs -I{} strip -o "$work/root/$1" {}
}
mkdir -p "$work"/root/proc "$work"/root/tmp "$work/root$here/fixtures" "$work"/iso/boot
tests unit --lib
tests it --test it
cp -r "$here/fixtures/models" "$work/root$here/fixtures/"
cp "$(find "$work/unpacked" -path '*/bin/busybox' -type f | head -1)" "$work/root/busybox"
ldd "$work/root/it" | grep -o '/[^ ]*' | xargs -I{} cp --parents {} "$work/root"
cat >"$work/root/init" <<'E2'
#!/busybox sh
/busybox mount -t proc proc /proc
echo "registers: $(/busybox grep -o -m1 'avx512bw' /proc/cpuinfo)"
RUST_BACKTRACE=0 /unit --test-threads=1 score::trees::kernel score::trees::packed
echo "unit tests ended with $?"
RUST_BACKTRACE=0 /it --test-threads=1 foreign::every_model
echo "models ended with $?"
/busybox sleep 1
echo "the end"
/busybox sleep 100
E2
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet | zstd -q -T0) >"$work/iso/boot/initrd"
cp "$work"/unpacked/boot/vmlinuz-* "$work/iso/boot/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/"
# Bochs and Linux disagree about the size of compacted register states.
cat >"$work/iso/isolinux.cfg" <<'E2'
default tests
label tests
 kernel /boot/vmlinuz
 append initrd=/boot/initrd console=ttyS0 quiet mitigations=off tsc=reliable lpj=1000000 noxsaves clearcpuid=321,323
E2
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table "$work/iso" >"$work/xorriso.log" 2>&1 || { cat "$work/xorriso.log" >&2; die "no image was made"; }
# The screen is a terminal that nobody sees: the other displays open a window or a port.
cat >"$work/bochsrc" <<E2
megs: 2048
cpu: model=corei7_skylake_x, count=1, ips=100000000, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/console
display_library: term
log: $work/bochs.log
panic: action=fatal
clock: sync=none
E2
echo c >"$work/continue"
touch "$work/console"
TERM=xterm script -qec "bochs -q -f $work/bochsrc -rc $work/continue" "$work/screen" >/dev/null 2>&1 </dev/null &
for _ in $(seq "${EMULATE_SECONDS:-1800}"); do
    grep -q 'the end\|Kernel panic' "$work/console" && break
    kill -0 $! 2>/dev/null || break
    sleep 1
done
tr -d '\r' <"$work/console" | tee "$work/said"
grep -q '^the end' "$work/said" || { tail -5 "$work/bochs.log" >&2; die "the emulated machine did not come to the end"; }
grep -q '^registers: avx512bw' "$work/said" || die "the emulated processor has no AVX-512"
[ "$(grep -c '^test result: ok. [1-9]' "$work/said")" = 2 ] || die "tests failed, or none ran"
grep -q '^unit tests ended with 0' "$work/said" && grep -q '^models ended with 0' "$work/said" || die "tests failed"
