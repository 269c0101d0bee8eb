{{/* The Secret of a target: (dict "root" $ "target" NAME "role" "owner"|"verifier"). Fails without a Secret. */}}
{{- define "aoc-migrate.secret" -}}
{{- $values := get .root.Values.targets .target -}}
{{- $key := ternary "verifierUrlSecret" "urlSecret" (eq .role "verifier") -}}
{{- $secret := get $values $key -}}
{{- if not $secret.name -}}
{{- fail (printf "targets.%s.%s.name is empty: name the Secret that holds the URL of the %s." .target $key (ternary "read-only role" "role that owns the tables" (eq .role "verifier"))) -}}
{{- end -}}
{{- if and (eq .role "verifier") (eq $secret.name $values.urlSecret.name) (eq $secret.key $values.urlSecret.key) -}}
{{- fail (printf "targets.%s.verifierUrlSecret is urlSecret: verification needs a read-only role." .target) -}}
{{- end -}}
{{- toJson $secret -}}
{{- end -}}

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
{{- $secret := include "aoc-migrate.secret" (dict "root" $.root "target" . "role" $.role) | fromJson }}
{{- if eq $secret.as "env" }}
- name: {{ $prefix }}_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- else }}
- name: {{ $prefix }}_DATABASE_URL_FILE
  value: /run/secrets/aoc-migrate/{{ . }}/url
{{- end }}
- name: {{ $prefix }}_DATABASE_SCHEMA
  value: {{ $values.schema | quote }}
{{- with $values.tableOwner }}
- name: {{ $prefix }}_TABLE_OWNER
  value: {{ . | quote }}
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

{{/* Volumes for the same, or nothing if no Secret is mounted. The mode lets any uid read: Secrets belong to root. */}}
{{- define "aoc-migrate.podVolumes" -}}
{{- range .targets }}
{{- $secret := include "aoc-migrate.secret" (dict "root" $.root "target" . "role" $.role) | fromJson }}
{{- if eq $secret.as "file" }}
- name: aoc-{{ $.role }}-{{ . }}
  secret:
    secretName: {{ $secret.name }}
    defaultMode: 0444
    items:
      - key: {{ $secret.key }}
        path: url
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
{{- end -}}

{{- define "aoc-migrate.volumeMounts" -}}
{{- range .targets }}
{{- $secret := include "aoc-migrate.secret" (dict "root" $.root "target" . "role" $.role) | fromJson }}
{{- if eq $secret.as "file" }}
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
{{- end -}}

{{/* One container: (dict "root" $ "name" NAME "args" LIST "targets" NAMES "role" ROLE "flags" OVERRIDES). */}}
{{- define "aoc-migrate.container" -}}
name: {{ .name }}
image: {{ include "aoc-migrate.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{- toYaml .args | nindent 2 }}
env: {{- include "aoc-migrate.env" . | trim | nindent 2 }}
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

{{/* Spec of a Job of one container: the above, with "component", "hook", "seconds" and "backoffLimit". */}}
{{- define "aoc-migrate.jobSpec" -}}
activeDeadlineSeconds: {{ int64 .seconds }}
backoffLimit: {{ int .backoffLimit }}
{{- if .backoffLimit }}
# A drained node costs no try; exit code 3 is worth another, and the rest is for people.
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    - action: FailJob
      onExitCodes:
        containerName: {{ .name }}
        operator: In
        values: [1, 2, 4]
{{- end }}
template:
  metadata:
    labels: {{- include "aoc-migrate.labels" . | nindent 6 }}
    {{- with .root.Values.podAnnotations }}
    annotations: {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ ternary (include "aoc-migrate.hookServiceAccountName" .root) (include "aoc-migrate.serviceAccountName" .root) (default false .hook) }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    terminationGracePeriodSeconds: 60
    securityContext:
      runAsNonRoot: true
      seccompProfile:
        type: RuntimeDefault
    {{- with .root.Values.imagePullSecrets }}
    imagePullSecrets: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- with .root.Values.nodeSelector }}
    nodeSelector: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.tolerations }}
    tolerations: {{- toYaml . | nindent 6 }}
    {{- end }}
    containers:
      {{- $args := concat .args (include "aoc-migrate.metricsOptions" .root | fromYamlArray) }}
      - {{ include "aoc-migrate.container" (merge (dict "args" $args) .) | indent 8 | trim }}
    {{- with include "aoc-migrate.podVolumes" . | trim }}
    volumes: {{- . | nindent 6 }}
    {{- end }}
{{- end -}}

{{/*
A Job: (dict "root" $ "component" NAME "name" NAME "hook" EVENTS "spec" TEXT). A Job cannot be changed: without a hook,
its name carries the chart's version and a hash of its spec, so that a change makes another Job.
*/}}
{{- define "aoc-migrate.job" }}
---
apiVersion: batch/v1
kind: Job
metadata:
  {{- $name := printf "%s-%s" (include "aoc-migrate.fullname" .root) .name }}
  {{- if not .hook }}
  {{- $version := .root.Chart.Version | lower | replace "." "-" | replace "+" "-" | trunc 9 }}
  {{- $name = printf "%s-%s-%s" ($name | trunc 44 | trimSuffix "-") ($version | trimSuffix "-") (sha256sum .spec | trunc 8) }}
  {{- end }}
  name: {{ $name }}
  labels: {{- include "aoc-migrate.labels" . | nindent 4 }}
  {{- with .hook }}
  annotations:
    helm.sh/hook: {{ . }}
    helm.sh/hook-weight: "0"
    helm.sh/hook-delete-policy: before-hook-creation
  {{- end }}
spec: {{- .spec | nindent 2 }}
{{- end }}
