{{/*
Pod template of a component. Parameters: root, name, values, args; booleans for its dependencies
kafka, redis, models, history and workspace; job for pods that run to completion, otherwise port, the
port of health checks, {name, number, scheme}; metrics are on port 9464; files: volumes of the
component's own Secrets, from genrec.files.
*/}}
{{- define "genrec.pod" -}}
{{- $v := .root.Values -}}
{{- $gpu := and .values.gpu .values.gpu.enabled -}}
{{- $files := dict "own" (.files | default "") -}}
{{- if .kafka -}}
{{- $_ := set $files "kafka" (include "genrec.files" (dict "tls" $v.kafka.tls "key" "password" "secret" (ternary $v.kafka.sasl.secret "" (ne $v.kafka.sasl.mechanism "")))) -}}
{{- end -}}
{{- if .redis -}}
{{- $_ := set $files "redis" (include "genrec.files" (dict "tls" $v.redis.tls "key" "password" "secret" $v.redis.passwordSecret)) -}}
{{- end -}}
metadata:
  labels:
    {{- include "genrec.labels" . | nindent 4 }}
  {{- if .port }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "9464"
  {{- end }}
spec:
  serviceAccountName: {{ include "genrec.fullname" .root }}
  automountServiceAccountToken: false
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- if $gpu }}
  {{- with .values.gpu.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: 60
  {{- if .job }}
  restartPolicy: Never
  {{- else }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      matchLabelKeys: [pod-template-hash] # during a rollout, ignore the pods being replaced
      labelSelector:
        matchLabels:
          {{- include "genrec.selector" . | nindent 10 }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: "{{ $v.image.repository }}:{{ $v.image.tag | default .root.Chart.AppVersion }}{{ if $gpu }}-cuda{{ end }}"
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: {{ toJson .args }}
      {{- with include "genrec.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- $resources := deepCopy .values.resources }}
        {{- if $gpu }}
        {{- $resources = merge (dict "limits" (dict .values.gpu.resource 1)) $resources }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      {{- with .port }}
      ports:
        - {name: {{ .name }}, containerPort: {{ .number }}}
        {{- if ne .name "metrics" }}
        - {name: metrics, containerPort: 9464}
        {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: {{ .name }}, scheme: {{ .scheme }}}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: {{ .name }}, scheme: {{ .scheme }}}
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe: # infer is ready once it has a model
        httpGet: {path: /readyz, port: {{ .name }}, scheme: {{ .scheme }}}
        periodSeconds: 5
        timeoutSeconds: 6
      {{- end }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: cache, mountPath: /var/cache/genrec}
        {{- if and .models $v.models.claim }}
        - {name: models, mountPath: /var/lib/genrec/models}
        {{- end }}
        {{- if and .history $v.history.claim }}
        - {name: history, mountPath: /var/lib/genrec/history}
        {{- end }}
        {{- range $name, $sources := $files }}
        {{- if $sources }}
        - {name: {{ $name }}, mountPath: /etc/genrec/{{ $name }}, readOnly: true}
        {{- end }}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {}}
    {{- if and .workspace $v.models.bucket }}
    - {name: cache, persistentVolumeClaim: {claimName: {{ include "genrec.fullname" .root }}-{{ .name }}}}
    {{- else }}
    - {name: cache, emptyDir: {}}
    {{- end }}
    {{- if and .models $v.models.claim }}
    - {name: models, persistentVolumeClaim: {claimName: {{ $v.models.claim }}}}
    {{- end }}
    {{- if and .history $v.history.claim }}
    - {name: history, persistentVolumeClaim: {claimName: {{ $v.history.claim }}}}
    {{- end }}
    {{- range $name, $sources := $files }}
    {{- if $sources }}
    - name: {{ $name }}
      projected:
        defaultMode: 0440
        sources:
          {{- trim $sources | nindent 10 }}
    {{- end }}
    {{- end }}
{{- end -}}
