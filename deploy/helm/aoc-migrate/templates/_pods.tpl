{{/* Spec of a pod of one container of ours: as aoc-migrate.container, with "hook". */}}
{{- define "aoc-migrate.podSpec" -}}
restartPolicy: Never
serviceAccountName: {{ ternary (include "aoc-migrate.hookServiceAccountName" .root) (include "aoc-migrate.serviceAccountName" .root) (default false .hook) }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  runAsNonRoot: true
  {{- if and .root.Values.runAsUser (include "aoc-migrate.claim" .) }}
  fsGroup: {{ int64 .root.Values.runAsUser }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with get $.root.Values $field }}
{{ $field }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .root.Values.extraInitContainers }}
initContainers: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - {{ include "aoc-migrate.container" . | indent 4 | trim }}
  {{- with .root.Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "aoc-migrate.podVolumes" . | trim }}
volumes: {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spec of a Job: the above, with "component", "metrics" (BOOLEAN), "seconds" and "backoffLimit". */}}
{{- define "aoc-migrate.jobSpec" -}}
activeDeadlineSeconds: {{ int64 .seconds }}
backoffLimit: {{ int .backoffLimit }}
{{- if and (not .hook) (not (kindIs "invalid" .root.Values.ttlSecondsAfterFinished)) }}
ttlSecondsAfterFinished: {{ int64 .root.Values.ttlSecondsAfterFinished }}
{{- end }}
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
      {{- if semverCompare "<1.29-0" .root.Capabilities.KubeVersion.Version }}
      onPodConditions: []  # demanded by the schema of these versions
      {{- end }}
{{- end }}
template:
  metadata:
    labels: {{- include "aoc-migrate.labels" (dict "root" .root "component" .component "labels" .root.Values.podLabels) | nindent 6 }}
    {{- with .root.Values.podAnnotations }}
    annotations: {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- $args := .args }}
  {{- if and .metrics .root.Values.metrics.pushGateway }}
  {{- $args = append $args (printf "--push-gateway=%s" .root.Values.metrics.pushGateway) }}
  {{- end }}
  spec: {{- include "aoc-migrate.podSpec" (merge (dict "args" $args) .) | nindent 4 }}
{{- end -}}

{{/*
A Job: (dict "root" $ "component" NAME "name" NAME "hook" EVENTS "spec" TEXT). A Job cannot be changed: without a hook,
its name carries the chart's version and a hash of its spec, so that a change makes another Job.
*/}}
{{- define "aoc-migrate.job" }}
---
apiVersion: batch/v1
kind: Job
{{- $name := printf "%s-%s" (include "aoc-migrate.fullname" .root) .name }}
{{- $annotations := dict }}
{{- if .hook }}
{{- $annotations = dict "helm.sh/hook" .hook "helm.sh/hook-weight" "0" "helm.sh/hook-delete-policy" "before-hook-creation" }}
{{- else }}
{{- $version := .root.Chart.Version | lower | replace "." "-" | replace "+" "-" | trunc 9 }}
{{- $name = printf "%s-%s-%s" ($name | trunc 44 | trimSuffix "-") ($version | trimSuffix "-") (sha256sum .spec | trunc 8) }}
{{- end }}
metadata: {{- include "aoc-migrate.metadata" (dict
    "root" .root "name" $name "component" .component "annotations" $annotations) | nindent 2 }}
spec: {{- .spec | nindent 2 }}
{{- end }}
