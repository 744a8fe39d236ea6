{{/* Environment of a container. Parameters: those of genrec.pod, and env: further variables as YAML. */}}
{{- define "genrec.env" -}}
{{- $v := .root.Values -}}
{{- if .kafka }}
- {name: GENREC_KAFKA, value: {{ join "," $v.kafka.brokers | quote }}}
- {name: GENREC_PARTITIONS, value: {{ $v.kafka.partitions | quote }}}
{{- include "genrec.tlsEnv" (dict "server" "kafka" "tls" $v.kafka.tls) }}
{{- if $v.kafka.sasl.mechanism }}
- {name: GENREC_KAFKA_SASL, value: {{ $v.kafka.sasl.mechanism }}}
- name: GENREC_KAFKA_USER
  valueFrom: {secretKeyRef: {name: {{ $v.kafka.sasl.secret }}, key: username}}
- {name: GENREC_KAFKA_PASSWORD_FILE, value: /etc/genrec/kafka/password}
{{- end }}
{{- end }}
{{- if .redis }}
- {name: GENREC_REDIS, value: {{ $v.redis.address | quote }}}
{{- include "genrec.tlsEnv" (dict "server" "redis" "tls" $v.redis.tls) }}
{{- if $v.redis.user }}
- {name: GENREC_REDIS_USER, value: {{ $v.redis.user | quote }}}
{{- end }}
{{- if $v.redis.passwordSecret }}
- {name: GENREC_REDIS_PASSWORD_FILE, value: /etc/genrec/redis/password}
{{- end }}
{{- end }}
{{- if .models }}
{{- if $v.models.bucket }}
- {name: GENREC_MODELS, value: {{ $v.models.bucket | quote }}}
{{- end }}
{{- if $v.models.credentialsSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $v.models.credentialsSecret }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- end }}
{{- if and .history $v.history.claim }}
- {name: GENREC_HISTORY, value: /var/lib/genrec/history}
{{- end }}
{{- if .port }}
- {name: GENREC_METRICS, value: ":9464"}
{{- end }}
{{- with .values.gpu }}
- {name: GENREC_DEVICE, value: {{ ternary "cuda" "cpu" .enabled }}}
{{- end }}
{{- with .env }}
{{ trim . }}
{{- end }}
{{- range $name, $value := merge (dict) .values.settings $v.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* TLS variables. Parameters: server, tls. */}}
{{- define "genrec.tlsEnv" -}}
{{- if .tls.enabled }}
{{- $prefix := printf "GENREC_%s" (upper .server) }}
- {name: {{ $prefix }}_TLS, value: "true"}
{{- if .tls.caSecret }}
- {name: {{ $prefix }}_CA, value: /etc/genrec/{{ .server }}/ca.crt}
{{- end }}
{{- if .tls.clientSecret }}
- {name: {{ $prefix }}_CERT, value: /etc/genrec/{{ .server }}/tls.crt}
- {name: {{ $prefix }}_KEY, value: /etc/genrec/{{ .server }}/tls.key}
{{- end }}
{{- end }}
{{- end -}}

{{/* Projected sources of the Secrets that are mounted as one folder; may be empty. Parameters: tls, secret, key. */}}
{{- define "genrec.files" -}}
{{- if and .tls.enabled .tls.caSecret }}
- secret: {name: {{ .tls.caSecret }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- if and .tls.enabled .tls.clientSecret }}
- secret: {name: {{ .tls.clientSecret }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
{{- if .secret }}
- secret: {name: {{ .secret }}, items: [{key: {{ .key }}, path: {{ .key }}}]}
{{- end }}
{{- end -}}
