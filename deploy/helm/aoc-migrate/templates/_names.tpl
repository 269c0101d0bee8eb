{{/* Prefix of all names of the release; short enough for a Job's name. */}}
{{- define "aoc-migrate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" (.Release.Name | trunc 18 | trimSuffix "-") .Chart.Name }}
{{- end -}}
{{- end -}}

{{/* Labels that select: (dict "root" $ "component" "upgrade"). */}}
{{- define "aoc-migrate.selectorLabels" -}}
app.kubernetes.io/name: aoc-migrate
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* All labels: (dict "root" $ "component" "upgrade"). */}}
{{- define "aoc-migrate.labels" -}}
{{ include "aoc-migrate.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stellaops
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "aoc-migrate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* Service account of the hooks, which run before the release's own exists. */}}
{{- define "aoc-migrate.hookServiceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ include "aoc-migrate.fullname" . }}-hook
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "aoc-migrate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "aoc-migrate.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* Refuse a caller whose context does not reach this chart's values. */}}
{{- define "aoc-migrate.checkRoot" -}}
{{- if not (or (eq .Chart.Name "aoc-migrate") (hasKey .Subcharts "aoc-migrate")) -}}
{{- fail "aoc-migrate: pass the root context: (dict \"root\" $ \"target\" \"concelier\"), and make aoc-migrate a dependency." -}}
{{- end -}}
{{- end -}}
