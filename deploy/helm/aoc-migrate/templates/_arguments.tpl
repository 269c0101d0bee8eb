{{/* A duration of the command line (100ms, 2s, 5m, 1h, 1d) in seconds. */}}
{{- define "aoc-migrate.seconds" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mulf (trimSuffix $unit . | float64) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0) $unit) -}}
{{- end -}}

{{/* Options of upgrade, constraints and downgrade, as items of a list: (dict "target" NAME "limits" VALUES). */}}
{{- define "aoc-migrate.limitOptions" -}}
{{- with .limits -}}
{{- if gt (include "aoc-migrate.seconds" .maxStall | float64) (include "aoc-migrate.seconds" .deadline | float64) -}}
{{- fail (printf "targets.%s.maxStall=%s is longer than deadline=%s: not even one try would fit." $.target .maxStall .deadline) -}}
{{- end -}}
- --max-stall={{ .maxStall }}
- --deadline={{ .deadline }}
- --lock-wait={{ .lockWait }}
{{- end -}}
{{- end -}}

{{/* Arguments of upgrade, as JSON: (dict "root" $ "target" NAME "releaseHold" BOOLEAN). */}}
{{- define "aoc-migrate.upgradeArguments" -}}
{{- $limits := get .root.Values.targets .target -}}
{{- $args := concat (list "upgrade" .target) (include "aoc-migrate.limitOptions" (dict "target" .target "limits" $limits) | fromYamlArray) -}}
{{- if .releaseHold }}{{ $args = append $args "--release-hold" }}{{ end -}}
{{- if .root.Values.evidence.persistentVolumeClaim }}{{ $args = append $args "--evidence=/var/lib/aoc-migrate/evidence" }}{{ end -}}
{{- concat $args .root.Values.upgrade.extraArgs | toJson -}}
{{- end -}}

{{/* Arguments of wait, as JSON: (dict "root" $ "target" NAME "timeout" DURATION). */}}
{{- define "aoc-migrate.waitArguments" -}}
{{- concat (list "wait" .target (printf "--timeout=%s" .timeout)) .root.Values.wait.extraArgs | toJson -}}
{{- end -}}

{{/*
Refuse a Job that Kubernetes would end before it gives up by itself: it would never name its blockers:
(dict "target" NAME "limits" VALUES "seconds" 14400 "key" "upgrade").
*/}}
{{- define "aoc-migrate.checkDeadline" -}}
{{- $least := addf (include "aoc-migrate.seconds" .limits.deadline | float64) (include "aoc-migrate.seconds" .limits.lockWait | float64) -}}
{{- if le (float64 .seconds) $least -}}
{{- fail (printf "%s.activeDeadlineSeconds=%d is not above lockWait=%s plus deadline=%s of targets.%s: the pod would be killed while it waits. Raise it above %.0f." .key (int64 .seconds) .limits.lockWait .limits.deadline .target (ceil $least)) -}}
{{- end -}}
{{- end -}}

{{/* Names of the enabled targets, as JSON; `only` selects one. Fails if none is left, or if a value is wrong. */}}
{{- define "aoc-migrate.targets" -}}
{{- include "aoc-migrate.check" .root -}}
{{- $names := list -}}
{{- range $name := list "concelier" "excititor" -}}
{{- if and (get $.root.Values.targets $name).enabled (or (not $.only) (eq $.only $name)) -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- if not $names -}}
{{- fail (printf "no target is enabled: set targets.%s.enabled=true." (default "concelier" .only)) -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}
