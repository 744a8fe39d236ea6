#!/usr/bin/env bash
# Prints a Chromium, for tests of the page in a real browser: the one in PATH, or else one that
# it fetches from npm into the cache folder, once.
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
  sha256sum --check --status <<<"$sha256  $archive" || fail "what npm has downloaded is not the file that was tested: $archive"
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
# Runs the program with the libraries and the fonts that came with it.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export LD_LIBRARY_PATH=$here/lib FONTCONFIG_FILE=$here/fonts.conf
exec "$here/program" "$@"
PROGRAM
  chmod 755 "$tmp/program" "$tmp/chromium"
  missing=$(LD_LIBRARY_PATH=$tmp/lib ldd "$tmp/program" | sed -n 's/ => not found//p')
  [[ -z $missing ]] || fail "this system lacks" $missing "which Chromium needs: install one that brings them, for instance with: apt install chromium"
}

for name in chromium chromium-browser google-chrome google-chrome-stable chrome-headless-shell; do
  if command -v "$name"; then
    exit
  fi
done

[[ $(uname -sm) == "Linux x86_64" ]] ||
  fail "there is none in PATH, and the package of npm is for Linux on x86-64: install one, for instance with: apt install chromium"
for name in node npm; do
  command -v "$name" >/dev/null ||
    fail "there is none in PATH, and no $name to fetch one: install one of them, for instance with: apt install chromium"
done

open_cache
readonly target=$cache/chromium-$version
once "$target" fetch
printf '%s\n' "$target/chromium"
