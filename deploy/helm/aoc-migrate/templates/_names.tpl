{{/* Beginning of all names of the release, at most 30 characters: short enough for a Job's name. */}}
{{- define "aoc-migrate.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" (.Release.Name | trunc (sub 29 (len $name) | int) | trimSuffix "-") $name }}
{{- end -}}
{{- end -}}

{{/* Labels that select: (dict "root" $ "component" "upgrade"). */}}
{{- define "aoc-migrate.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default "aoc-migrate" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* All labels: (dict "root" $ "component" "upgrade" "labels" MORE). */}}
{{- define "aoc-migrate.labels" -}}
{{- $labels := dict
    "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/part-of" "stellaops"
    "app.kubernetes.io/managed-by" .root.Release.Service
    "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- $labels = mergeOverwrite $labels .root.Values.commonLabels (.labels | default dict) -}}
{{- mergeOverwrite $labels (include "aoc-migrate.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* Metadata: (dict "root" $ "name" NAME "component" "upgrade" "labels" MORE "annotations" ALL). */}}
{{- define "aoc-migrate.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "aoc-migrate.labels" . | nindent 2 }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "aoc-migrate.image" -}}
{{- with .Values.image -}}
{{ with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
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
