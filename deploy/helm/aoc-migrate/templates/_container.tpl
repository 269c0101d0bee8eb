{{/* Variables of the targets: (dict "root" $ "targets" NAMES "role" ROLE "flags" OVERRIDES). */}}
{{- define "aoc-migrate.env" -}}
{{- range $name, $value := mergeOverwrite (deepCopy .root.Values.flags) (.flags | default dict) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
- name: AOC_IMAGE
  value: {{ include "aoc-migrate.image" .root | quote }}
{{- with .root.Values.ticket }}
- name: AOC_TICKET
  value: {{ . | quote }}
{{- end }}
{{- range .targets }}
{{- $prefix := upper . }}
{{- $values := get $.root.Values.targets . }}
{{- $credentials := include "aoc-migrate.credentials" (dict "root" $.root "target" . "role" $.role) | fromJson }}
{{- with $credentials.url }}
- name: {{ $prefix }}_DATABASE_URL
  value: {{ . | quote }}
{{- end }}
{{- with $credentials.secret }}
{{- if eq .as "env" }}
- name: {{ $prefix }}_DATABASE_{{ $credentials.variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- else }}
- name: {{ $prefix }}_DATABASE_{{ $credentials.variable }}_FILE
  value: /run/secrets/aoc-migrate/{{ lower $prefix }}/{{ lower $credentials.variable }}
{{- end }}
{{- end }}
- name: {{ $prefix }}_DATABASE_SCHEMA
  value: {{ $values.schema | quote }}
{{- with $values.tableOwner }}
- name: {{ $prefix }}_TABLE_OWNER
  value: {{ . | quote }}
{{- end }}
{{- if and $values.throttleQuery (eq $.role "owner") }}
- name: AOC_THROTTLE_QUERY
  value: {{ $values.throttleQuery | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.tls.mode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- if .root.Values.tls.caConfigMap.name }}
- name: PGSSLROOTCERT
  value: /run/aoc-migrate/ca/ca.crt
{{- end }}
{{- end -}}

{{/* All variables. In ours, $ is doubled: Kubernetes would replace $(NAME). Fails if extraEnv has one of ours. */}}
{{- define "aoc-migrate.allEnv" -}}
{{- $env := include "aoc-migrate.env" . | replace "$" "$$" | fromYamlArray -}}
{{- $ours := list -}}
{{- range $env }}{{ $ours = append $ours .name }}{{ end -}}
{{- range .root.Values.extraEnv -}}
{{- if has .name $ours -}}
{{- $settings := dict
    "AOC_TICKET" "ticket" "AOC_IMAGE" "image" "AOC_THROTTLE_QUERY" "targets.TARGET.throttleQuery" "PGSSLMODE" "tls.mode"
    "PGSSLROOTCERT" "tls.caConfigMap" -}}
{{- $setting := get $settings .name | default (ternary (printf "flags.%s" .name) "targets" (hasKey $.root.Values.flags .name)) -}}
{{- fail (printf "extraEnv has %s, which the chart sets: write %s instead." .name $setting) -}}
{{- end -}}
{{- end -}}
{{- concat $env .root.Values.extraEnv | toYaml -}}
{{- end -}}

{{/* Volumes for the same, or nothing. The mode lets any uid read: Secrets belong to root. */}}
{{- define "aoc-migrate.podVolumes" -}}
{{- range .targets }}
{{- $credentials := include "aoc-migrate.credentials" (dict "root" $.root "target" . "role" $.role) | fromJson }}
{{- if eq (get $credentials.secret "as") "file" }}
- name: aoc-{{ $.role }}-{{ . }}
  secret:
    secretName: {{ $credentials.secret.name }}
    defaultMode: 0444
    items:
      - key: {{ $credentials.secret.key }}
        path: {{ lower $credentials.variable }}
{{- end }}
{{- end }}
{{- with .root.Values.tls.caConfigMap }}
{{- if .name }}
- name: aoc-ca
  configMap:
    name: {{ .name }}
    defaultMode: 0444
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with include "aoc-migrate.claim" . }}
- name: aoc-evidence
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "aoc-migrate.volumeMounts" -}}
{{- range .targets }}
{{- $credentials := include "aoc-migrate.credentials" (dict "root" $.root "target" . "role" $.role) | fromJson }}
{{- if eq (get $credentials.secret "as") "file" }}
- name: aoc-{{ $.role }}-{{ . }}
  mountPath: /run/secrets/aoc-migrate/{{ . }}
  readOnly: true
{{- end }}
{{- end }}
{{- if .root.Values.tls.caConfigMap.name }}
- name: aoc-ca
  mountPath: /run/aoc-migrate/ca
  readOnly: true
{{- end }}
{{- if include "aoc-migrate.claim" . }}
- name: aoc-evidence
  mountPath: /var/lib/aoc-migrate/evidence
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name of the claim where the container keeps evidence, or nothing: only upgrades do. */}}
{{- define "aoc-migrate.claim" -}}
{{- if .evidence }}{{ .root.Values.evidence.persistentVolumeClaim }}{{ end -}}
{{- end -}}

{{/*
One container: (dict "root" $ "name" NAME "args" LIST "targets" NAMES "role" ROLE "flags" OVERRIDES "evidence" BOOLEAN).
*/}}
{{- define "aoc-migrate.container" -}}
name: {{ .name }}
image: {{ include "aoc-migrate.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{- toYaml .args | replace "$" "$$" | nindent 2 }}
env: {{- include "aoc-migrate.allEnv" . | nindent 2 }}
{{- with .root.Values.extraEnvFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "aoc-migrate.volumeMounts" . | trim }}
volumeMounts: {{- . | nindent 2 }}
{{- end }}
resources: {{- toYaml .root.Values.resources | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  {{- with .root.Values.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}
