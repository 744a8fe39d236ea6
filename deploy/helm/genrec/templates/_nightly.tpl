{{/*
A component that runs at times and ends, of what genrec.pod takes, and gated: it ends with exit
code 3 if a model was refused, with 4 if it waits for a split to end, with 5 without data.
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
          - action: Ignore # a node that is drained: the next pod goes on from there
            onPodConditions: [{type: DisruptionTarget, status: "True"}]
          {{- if .gated }}
          - action: FailJob # the same training would come to the same
            onExitCodes: {containerName: {{ .name }}, operator: In, values: [3, 4, 5]}
          {{- end }}
      template:
        {{- include "genrec.pod" (set . "job" true) | nindent 8 }}
{{- end -}}
