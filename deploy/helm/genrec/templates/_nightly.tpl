{{/*
CronJob of a component. Parameters: those of genrec.pod, and gated: exit codes 3 (model refused),
4 (waiting for the end of a split) and 5 (no data) are not retried.
*/}}
{{- define "genrec.nightly" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  {{- include "genrec.metadata" . | nindent 2 }}
spec:
  schedule: {{ .values.schedule | quote }}
  timeZone: {{ .root.Values.retrain.timeZone }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 3
      {{- with .values.deadlineSeconds }}
      activeDeadlineSeconds: {{ . }}
      {{- end }}
      podFailurePolicy:
        rules:
          - action: Ignore # drained node: the next pod resumes
            onPodConditions: [{type: DisruptionTarget, status: "True"}]
          {{- if .gated }}
          - action: FailJob # a retry would have the same result
            onExitCodes: {containerName: {{ .name }}, operator: In, values: [3, 4, 5]}
          {{- end }}
      template:
        {{- include "genrec.pod" (set . "job" true) | nindent 8 }}
{{- end -}}
