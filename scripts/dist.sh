#!/usr/bin/env bash
# Makes what can be installed without a compiler, in dist/: a Python wheel, a .deb, and an archive; with man pages and
# completions.
#
#   scripts/dist.sh [test]           `test` packages what the tests built, to try the packages quickly
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$target
out=$PWD/dist
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
machine=$(uname -m)
case ${1:-release} in
release) build=(--profile release) folder=release level=9 ;;
test) build=(--profile dev --features failpoints) folder=debug level=1 out=$PWD/dist/test ;;
*)
    echo "dist: release or test, not $1" >&2
    exit 2
    ;;
esac

cargo build --locked "${build[@]}"
binary=$target/$folder/daymill

rm -rf "$out"
work=$(mktemp -d "${TMPDIR:-/tmp}/daymill-dist.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The tree that a package installs.
tree=$work/tree
mkdir -p "$out" "$tree/usr/bin" "$tree/usr/share/doc/daymill" "$tree/usr/share/man/man1"
mkdir -p "$tree/usr/share/bash-completion/completions" "$tree/usr/share/zsh/vendor-completions" "$tree/usr/share/fish/vendor_completions.d"
install -m 755 "$binary" "$tree/usr/bin/daymill"
strip "$tree/usr/bin/daymill"
"$binary" completions bash >"$tree/usr/share/bash-completion/completions/daymill"
"$binary" completions zsh >"$tree/usr/share/zsh/vendor-completions/_daymill"
"$binary" completions fish >"$tree/usr/share/fish/vendor_completions.d/daymill.fish"
"$binary" man "$tree/usr/share/man/man1"
gzip -9n "$tree/usr/share/man/man1"/*.1
install -m 644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$tree/usr/share/doc/daymill/"

tar -C "$tree" --owner=0 --group=0 --sort=name --mtime='2000-01-01 00:00Z' -cf - usr |
    gzip "-$level" >"$out/daymill-$version-linux-$machine.tar.gz"

if command -v dpkg-deb >/dev/null; then
    architecture=$(dpkg --print-architecture)
    # What the binary is linked with, as far as Debian names it.
    libc=$(ldd --version | sed -n '1s/.* //p')
    mkdir -p "$tree/DEBIAN"
    cat >"$tree/DEBIAN/control" <<CONTROL
Package: daymill
Version: $version
Architecture: $architecture
Maintainer: The Daymill developers <daymill@localhost>
Section: utils
Priority: optional
Depends: libc6 (>= $libc), libgcc-s1
Installed-Size: $(du -ks "$tree/usr" | cut -f1)
Description: scheduled batch inference and ETL
 Reads a day's records from Postgres or files, builds features with SQL, scores
 them in vectorized batches and replaces that day in a warehouse table.
CONTROL
    dpkg-deb --root-owner-group -Zgzip "-z$level" -b "$tree" "$out/daymill_${version}_$architecture.deb" >/dev/null
else
    echo "dist: no dpkg-deb here, so no .deb" >&2
fi

maturin=$(command -v maturin || true)
if [ -z "$maturin" ]; then
    venv=$target/dist-venv
    [ -x "$venv/bin/maturin" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check 'maturin>=1.7,<2'; }
    maturin=$venv/bin/maturin
fi
"$maturin" build --quiet --locked --strip "${build[@]}" --out "$out"

ls -l "$out"
