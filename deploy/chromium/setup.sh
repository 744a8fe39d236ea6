#!/usr/bin/env bash
# Prints the path of a Chromium for browser tests of the playground: the one in PATH, or else one that
# is downloaded from npm to the cache folder, once.
set -euo pipefail

readonly version=147.0.0
readonly package=@sparticuz/chromium
readonly sha256=18fe5404ce845594cd7d592fc07f37a19514079ba4d9c27192ad8b908743f16b
readonly tool=chromium
# shellcheck source=../once.sh
. "$(dirname "${BASH_SOURCE[0]}")/../once.sh"

fetch() {
  say "downloading $package $version (68 MB) to $target, once"
  (cd "$tmp" && npm pack --silent "$package@$version" >&2) ||
    fail "npm cannot download $package@$version, see above: check the network connection and run this again"
  archive=$(echo "$tmp"/*.tgz)
  sha256sum --check --status <<<"$sha256  $archive" || fail "checksum mismatch of the downloaded $archive: run this again"
  tar -xzf "$archive" -C "$tmp" package/bin
  for file in "$tmp"/package/bin/*.br; do
    node -e '
      const [from, to] = process.argv.slice(1);
      require("stream").pipeline(require("fs").createReadStream(from), require("zlib").createBrotliDecompress(),
        require("fs").createWriteStream(to), (error) => { if (error) throw error; });' "$file" "${file%.br}"
  done
  mv "$tmp/package/bin/chromium" "$tmp/program"
  for file in "$tmp"/package/bin/*.tar; do
    tar -xf "$file" -C "$tmp" --no-same-owner
  done
  rm -r "$tmp/package" "$archive"
  cat >"$tmp/fonts.conf" <<'FONTS'
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
FONTS
  cat >"$tmp/chromium" <<'PROGRAM'
#!/usr/bin/env bash
# Runs Chromium with its bundled libraries and fonts.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LD_LIBRARY_PATH=$here/lib FONTCONFIG_FILE=$here/fonts.conf
exec "$here/program" "$@"
PROGRAM
  chmod 755 "$tmp/program" "$tmp/chromium"
  missing=$(LD_LIBRARY_PATH=$tmp/lib ldd "$tmp/program" | sed -n 's/ => not found//p')
  [[ -z $missing ]] || fail "missing libraries:" $missing "- install Chromium with its dependencies, for instance with: apt install chromium"
}

for name in chromium chromium-browser google-chrome google-chrome-stable chrome-headless-shell; do
  if command -v "$name"; then
    exit
  fi
done

[[ $(uname -sm) == "Linux x86_64" ]] ||
  fail "no Chromium in PATH, and the npm package supports Linux on x86-64 only: install one, for instance with: apt install chromium"
for name in node npm; do
  command -v "$name" >/dev/null ||
    fail "no Chromium in PATH, and no $name to download one: install either, for instance with: apt install chromium"
done

open_cache
readonly target=$cache/chromium-$version
once "$target" fetch
printf '%s\n' "$target/chromium"
