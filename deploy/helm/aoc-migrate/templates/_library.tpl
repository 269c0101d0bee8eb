{{/*
For the services' own charts, which name this one as a dependency:

    spec:
      initContainers:
        - {{ include "aoc-migrate.initContainer" (dict "root" $ "target" "concelier") | nindent 10 | trim }}
      volumes: {{- include "aoc-migrate.volumes" (dict "root" $ "target" "concelier") | nindent 8 }}

waitContainer and waitVolumes are for services that only wait, under the verifier where one is named.
*/}}
{{- define "aoc-migrate.initContainer" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- include "aoc-migrate.container" (dict
    "root" $root "name" "aoc-migrate" "targets" (list .target) "role" "owner" "evidence" true
    "args" (include "aoc-migrate.upgradeArguments" (dict "root" $root "target" .target) | fromJsonArray)) -}}
{{- end -}}

{{- define "aoc-migrate.volumes" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- include "aoc-migrate.podVolumes" (dict "root" $root "targets" (list .target) "role" "owner" "evidence" true) | trim -}}
{{- end -}}

{{- define "aoc-migrate.waitContainer" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- include "aoc-migrate.container" (dict
    "root" $root "name" "aoc-migrate-wait" "targets" (list .target)
    "role" (include "aoc-migrate.waitRole" (dict "root" $root "target" .target))
    "args" (include "aoc-migrate.waitArguments" (dict "root" $root "target" .target "timeout" $root.Values.wait.timeout) | fromJsonArray)) -}}
{{- end -}}

{{- define "aoc-migrate.waitVolumes" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- $role := include "aoc-migrate.waitRole" (dict "root" $root "target" .target) -}}
{{- include "aoc-migrate.podVolumes" (dict "root" $root "targets" (list .target) "role" $role) | trim -}}
{{- end -}}

{{/* Refuse a caller whose context does not reach this chart's values, and wrong values. */}}
{{- define "aoc-migrate.checkRoot" -}}
{{- if not (or (eq .Chart.Name "aoc-migrate") (hasKey .Subcharts "aoc-migrate")) -}}
{{- fail "aoc-migrate: pass the root context: (dict \"root\" $ \"target\" \"concelier\"), and make aoc-migrate a dependency." -}}
{{- end -}}
{{- include "aoc-migrate.check" (get .Subcharts "aoc-migrate" | default .) -}}
{{- end -}}
