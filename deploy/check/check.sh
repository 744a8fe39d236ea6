#!/usr/bin/env bash
# Validates the files in deploy/ with the tools that read them, except the container engine, and with
# genrec itself: make check-deploy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$(check/setup.sh)
readonly tools
readonly chart=helm/genrec
PATH=$tools/bin:$PATH
out=$(mktemp -d)
readonly out
trap 'rm -rf "$out"' EXIT

check_images() {
  hadolint docker/Dockerfile
}

check_compose() {
  cd compose # docker compose resolves paths relative to this folder
  COMPOSE_PROFILES='*' compose-spec -format json compose.yaml >"$out/compose.json"
  COMPOSE_PROFILES='*' compose-spec -format json compose.yaml compose.gpu.yaml >"$out/compose.gpu.json"
  cd ..
  promtool check config --syntax-only compose/prometheus.yaml >/dev/null
  # Docker would create a missing bind source as a folder.
  yq '.services[].volumes[] | select(.type == "bind") | .source' "$out/compose.json" | xargs ls -d >/dev/null
}

# Validates the chart with the values in ci/ and those in docs/DEPLOY.md.
check_chart() {
  local values name version
  sed -n '/^```yaml$/,/^```$/{/^```/!p}' ../docs/DEPLOY.md >"$out/documented-values.yaml"
  for values in "$chart"/ci/*-values.yaml "$out/documented-values.yaml"; do
    name=$(basename "$values" -values.yaml)
    helm lint --quiet --strict --values "$values" "$chart"
    helm template shop "$chart" --values "$values" >"$out/$name.yaml"
    for version in 1.31.0 1.37.0; do # the oldest that Chart.yaml allows, and the latest
      kubeconform -strict -kubernetes-version "$version" \
        -schema-location "$tools/schemas/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json" \
        -schema-location "$tools/schemas/keda/{{.ResourceKind}}{{.KindSuffix}}.json" "$out/$name.yaml"
    done
    yq --output-format json ea '[.]' "$out/$name.yaml" >"$out/$name.json"
  done
}

# Invalid values that the chart must reject: the setting, and the expected error.
check_mistakes() {
  local set want
  while read -r set want; do
    if helm template shop "$chart" --values "$chart/ci/least-values.yaml" --set "$set" >/dev/null 2>"$out/errors"; then
      printf 'check: the chart accepts %s, want the error: %s\n' "$set" "$want" >&2
      return 1
    fi
    grep -q -- "$want" "$out/errors" || {
      printf 'check: the chart rejects %s, but without "%s":\n' "$set" "$want" >&2
      cat "$out/errors" >&2
      return 1
    }
  done <<'MISTAKES'
kafka.brokers=null brokers
kafka.brokers={kafka} kafka/brokers/0
kafka.sasl.mechanism=plain kafka/sasl/secret
redis.address= redis/address
redis.address=redis://me:secret@redis redis/address
models.claim= models
models.bucket=s3://shop/models models
infer.replica=3 replica
settings.GENREC_REDIS_PASSWORD=secret GENREC_REDIS_PASSWORD
settings.genrec_ttl=1h genrec_ttl
MISTAKES
}

check_alerts() {
  promtool check rules --lint=all --lint-fatal prometheus/rules.yaml
  promtool test rules prometheus/rules_test.yaml
}

# Validates the queries of panels by converting them to recording rules. check_program checks that
# their metrics exist.
check_dashboards() {
  local dashboard rules=$out/panels.yaml
  for dashboard in grafana/dashboards/*.json; do
    # shellcheck disable=SC2016 # variables of yq and Grafana
    yq --input-format json --output-format yaml '{"groups": [{"name": "panels", "rules": [.panels[] | .id as $panel | .targets[] |
      {"record": "panel:" + ($panel | tostring) + .refId, "expr": (.expr | sub("\$__rate_interval", "5m"))}]}]}' "$dashboard" >"$rules"
    promtool check rules --lint=all --lint-fatal "$rules"
  done
}

# Checks commands, flags, environment variables and values against genrec.
check_program() {
  GENREC_TEST_MANIFESTS=$out go test -count=1 -run '^(TestManifests|TestChart.*|TestDashboards.*|TestAlerts.*)$' ../cmd/genrec
}

check_images
check_compose
check_chart
check_mistakes
check_alerts
check_dashboards
check_program
