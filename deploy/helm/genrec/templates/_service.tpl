{{/*
Deployment of a component. Parameters: those of genrec.pod, and scaled: the consumer group and the
topic whose lag determines the number of pods.
*/}}
{{- define "genrec.service" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "genrec.metadata" . | nindent 2 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  {{- if and .values.gpu .values.gpu.enabled }}
  strategy: # there may be no GPU for a surge pod
    rollingUpdate: {maxSurge: 0, maxUnavailable: 1}
  {{- end }}
  selector:
    matchLabels:
      {{- include "genrec.selector" . | nindent 6 }}
  template:
    {{- include "genrec.pod" . | nindent 4 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "genrec.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "genrec.selector" . | nindent 6 }}
{{- if and .scaled .values.autoscaling.enabled }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "genrec.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {name: {{ include "genrec.fullname" .root }}-{{ .name }}}
  minReplicaCount: {{ .values.replicas }}
  maxReplicaCount: {{ .values.autoscaling.maxReplicas }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: # each change rebalances the partitions
        scaleDown: {stabilizationWindowSeconds: 600}
  triggers:
    - type: kafka
      metadata:
        bootstrapServers: {{ join "," .root.Values.kafka.brokers | quote }}
        consumerGroup: {{ .scaled.group }}
        topic: {{ .scaled.topic }}
        lagThreshold: {{ .values.autoscaling.lag | quote }}
        offsetResetPolicy: earliest
        {{- with .root.Values.kafka.tls }}
        tls: {{ ternary "enable" "disable" .enabled }}
        {{- end }}
        {{- with .root.Values.kafka.sasl.mechanism }}
        sasl: {{ get (dict "plain" "plaintext" "scram-sha-256" "scram_sha256" "scram-sha-512" "scram_sha512") . }}
        {{- end }}
      {{- if include "genrec.triggerSecrets" .root }}
      authenticationRef: {name: {{ include "genrec.fullname" .root }}-kafka}
      {{- end }}
{{- end }}
{{- end -}}

{{/* Credentials of KEDA's Kafka scaler; empty if none are needed. */}}
{{- define "genrec.triggerSecrets" -}}
{{- with .Values.kafka }}
{{- if .sasl.mechanism }}
- {parameter: username, name: {{ .sasl.secret }}, key: username}
- {parameter: password, name: {{ .sasl.secret }}, key: password}
{{- end }}
{{- if and .tls.enabled .tls.caSecret }}
- {parameter: ca, name: {{ .tls.caSecret }}, key: ca.crt}
{{- end }}
{{- if and .tls.enabled .tls.clientSecret }}
- {parameter: cert, name: {{ .tls.clientSecret }}, key: tls.crt}
- {parameter: key, name: {{ .tls.clientSecret }}, key: tls.key}
{{- end }}
{{- end }}
{{- end -}}
