{{/* The release, unless it is named after the chart anyway. */}}
{{- define "genrec.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Of {root, name}: what picks a component's pods, and never changes. */}}
{{- define "genrec.selector" -}}
app.kubernetes.io/name: genrec
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "genrec.labels" -}}
{{ include "genrec.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "genrec.metadata" -}}
name: {{ include "genrec.fullname" .root }}-{{ .name }}
labels:
  {{- include "genrec.labels" . | nindent 2 }}
{{- end -}}
