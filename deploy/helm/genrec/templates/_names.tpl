{{/* Prefix of all names: the release name, with the chart name unless it is contained. */}}
{{- define "genrec.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Immutable selector labels of a component's pods. Parameters: root, name. */}}
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
