{{/*
For the services' own charts, which name this one as a dependency:

    spec:
      initContainers:
        - {{ include "aoc-migrate.initContainer" (dict "root" $ "target" "concelier") | nindent 10 | trim }}
      volumes: {{- include "aoc-migrate.volumes" (dict "root" $ "target" "concelier") | nindent 8 }}

waitContainer and waitVolumes are for services that only wait, under the verifier's Secret where one is named.
*/}}
{{- define "aoc-migrate.initContainer" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- $values := get $root.Values.targets .target -}}
{{- include "aoc-migrate.container" (dict
    "root" $root "name" "aoc-migrate" "targets" (list .target) "role" "owner"
    "args" (concat (list "upgrade" .target) (include "aoc-migrate.limitOptions" (dict "target" .target "limits" $values) | fromYamlArray))) -}}
{{- end -}}

{{- define "aoc-migrate.volumes" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- include "aoc-migrate.podVolumes" (dict "root" $root "targets" (list .target) "role" "owner") | trim -}}
{{- end -}}

{{/* The role that waits: the verifier if its Secret is named, else the owner. */}}
{{- define "aoc-migrate.waitRole" -}}
{{- ternary "verifier" "owner" (not (empty (get .root.Values.targets .target).verifierUrlSecret.name)) -}}
{{- end -}}

{{- define "aoc-migrate.waitContainer" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- include "aoc-migrate.container" (dict
    "root" $root "name" "aoc-migrate-wait" "targets" (list .target)
    "role" (include "aoc-migrate.waitRole" (dict "root" $root "target" .target))
    "args" (list "wait" .target (printf "--timeout=%s" $root.Values.wait.timeout))) -}}
{{- end -}}

{{- define "aoc-migrate.waitVolumes" -}}
{{- include "aoc-migrate.checkRoot" .root -}}
{{- $root := get .root.Subcharts "aoc-migrate" | default .root -}}
{{- $role := include "aoc-migrate.waitRole" (dict "root" $root "target" .target) -}}
{{- include "aoc-migrate.podVolumes" (dict "root" $root "targets" (list .target) "role" $role) | trim -}}
{{- end -}}
