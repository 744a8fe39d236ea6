#!/bin/bash
# Starts Kafka as the image apache/kafka does, with the class that converts KAFKA_* to a configuration.
set -euo pipefail

classes='/opt/kafka/libs/*'
if [[ ${0##*/} == kafka-broker-api-versions.sh ]]; then
  exec java -Xmx128m -cp "$classes" org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
fi
export CLUSTER_ID=${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}
defaults=/etc/kafka/docker
: >"$defaults/server.properties"
for file in log4j2 tools-log4j2; do
  printf 'Configuration:\n  Appenders: {}\n  Loggers: {Root: {level: INFO}, Logger: []}\n' >"$defaults/$file.yaml"
done
output=$(java -cp "$classes" kafka.docker.KafkaDockerWrapper setup --default-configs-dir "$defaults" \
  --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) || grep 'already formatted' <<<"$output" || {
  printf '%s\n' "$output" >&2
  exit 1
}
exec java -Xmx1g -cp "$classes" kafka.Kafka /opt/kafka/config/server.properties
