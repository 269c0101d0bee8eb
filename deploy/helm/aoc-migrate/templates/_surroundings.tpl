{{/* Not empty if the release itself runs pods, before or after it is installed. */}}
{{- define "aoc-migrate.runs" -}}
{{- if or (ne .Values.mode "none") .Values.verify.enabled .Values.rollback.enabled .Values.run.args }}yes{{ end -}}
{{- end -}}

{{/* Annotations of what a hook's pod needs: created before it, deleted when all hooks of the event succeed. */}}
{{- define "aoc-migrate.hookSurroundings" -}}
helm.sh/hook: {{ ternary "post-upgrade" "pre-install,pre-upgrade" .Values.rollback.enabled }}
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Our pods may reach PostgreSQL, DNS, and the push gateway; nobody may reach them. */}}
{{- define "aoc-migrate.networkPolicySpec" -}}
{{- include "aoc-migrate.check" . -}}
podSelector:
  matchLabels: {{- include "aoc-migrate.selectorLabels" (dict "root" .) | nindent 4 }}
policyTypes: [Egress, Ingress]
egress:
  - ports:
      {{- range .Values.networkPolicy.ports }}
      - {protocol: TCP, port: {{ int . }}}
      {{- end }}
    {{- with .Values.networkPolicy.to }}
    to: {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- with .Values.metrics.pushGateway }}
  {{- $port := (urlParse .).host | regexFind ":[0-9]+$" | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .)) }}
  - ports:
      - {protocol: TCP, port: {{ $port }}}
  {{- end }}
  - ports:
      {{- range list 53 5353 }}{{/* 5353: OpenShift's DNS pods, because policies see the port behind the service */}}
      - {protocol: UDP, port: {{ . }}}
      - {protocol: TCP, port: {{ . }}}
      {{- end }}
{{- end -}}
