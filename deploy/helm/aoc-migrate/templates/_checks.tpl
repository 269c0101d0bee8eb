{{/*
What the schema cannot say well: each refusal names the value, and says what to write. Helm validates the schema first,
so that every key is there and has its type.
*/}}
{{- define "aoc-migrate.check" -}}
{{- include "aoc-migrate.checkTexts" . -}}
{{- include "aoc-migrate.checkNames" . -}}
{{- include "aoc-migrate.checkImage" . -}}
{{- include "aoc-migrate.checkConnections" . -}}
{{- include "aoc-migrate.checkWords" . -}}
{{- include "aoc-migrate.checkLabels" . -}}
{{- end -}}

{{/* Refuse texts that do not match: (dict "values" (dict PATH TEXT) "pattern" REGEX "wanted" TEXT). */}}
{{- define "aoc-migrate.match" -}}
{{- range $path, $value := .values -}}
{{- $text := toString $value -}}
{{- if not (regexMatch $.pattern $text) -}}
{{- fail (printf "%s=%s is not %s." $path (regexMatch "^[ -~]+$" $text | ternary $text (quote $text)) $.wanted) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aoc-migrate.checkTexts" -}}
{{- $durations := dict "verify.since" .Values.verify.since "wait.timeout" .Values.wait.timeout "test.timeout" .Values.test.timeout -}}
{{- range $target, $values := .Values.targets -}}
{{- range $key := list "maxStall" "deadline" "lockWait" -}}
{{- $_ := set $durations (printf "targets.%s.%s" $target $key) (get $values $key) -}}
{{- end -}}
{{- end -}}
{{- include "aoc-migrate.match" (dict
    "values" $durations "pattern" "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$"
    "wanted" "a duration: write a number and a unit, such as 100ms, 2s, 5m or 1h") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "rollback.revision" .Values.rollback.revision) "pattern" "^((concelier|excititor)_[0-9]{4}|base)?$"
    "wanted" "a revision to go down to: write an id, such as concelier_0004, or base") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "verify.schedule" .Values.verify.schedule)
    "pattern" "^\\s*(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|@every \\S+|[^@=\\s]+(\\s+[^@=\\s]+){4})\\s*$"
    "wanted" "a schedule: write the five fields of cron, such as 17 * * * *, and a time zone into verify.timeZone") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "flags.AOC_TENANT_HEADER" .Values.flags.AOC_TENANT_HEADER) "pattern" "^[A-Za-z0-9-]+$"
    "wanted" "the name of an HTTP header: write letters, digits and -, such as X-Stella-Tenant") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "metrics.pushGateway" .Values.metrics.pushGateway) "pattern" "^(https?://((%[0-9A-Fa-f]{2}|[^\\s/@%])*@)?([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]+)?(/(%[0-9A-Fa-f]{2}|[^\\s%])*)?)?$"
    "wanted" "a URL: write http:// or https://, a host and a port, such as http://pushgateway.monitoring:9091") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "ticket" .Values.ticket) "pattern" "^[^\\x00-\\x1f\\x7f]{0,100}$"
    "wanted" "the name of a change ticket: write one line of at most 100 characters, such as CHG-1234") -}}
{{- end -}}

{{- define "aoc-migrate.checkNames" -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "nameOverride" .Values.nameOverride) "pattern" "^([a-z]([-a-z0-9]{0,18}[a-z0-9])?)?$"
    "wanted" "a name: write at most 20 lower-case letters, digits and -, such as aoc-migrate") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "fullnameOverride" .Values.fullnameOverride) "pattern" "^([a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?)?$"
    "wanted" "a beginning of names: write at most 30 lower-case letters, digits and -, such as stella-aoc") -}}
{{- $names := dict
    "serviceAccount.name" .Values.serviceAccount.name "tls.caConfigMap.name" .Values.tls.caConfigMap.name
    "evidence.persistentVolumeClaim" .Values.evidence.persistentVolumeClaim "priorityClassName" .Values.priorityClassName -}}
{{- $keys := dict "tls.caConfigMap.key" .Values.tls.caConfigMap.key -}}
{{- range $target, $values := .Values.targets -}}
{{- range $path, $secret := dict
    "urlSecret" $values.urlSecret "verifierUrlSecret" $values.verifierUrlSecret
    "connection.passwordSecret" $values.connection.passwordSecret
    "connection.verifier.passwordSecret" $values.connection.verifier.passwordSecret -}}
{{- $_ := set $names (printf "targets.%s.%s.name" $target $path) $secret.name -}}
{{- $_ := set $keys (printf "targets.%s.%s.key" $target $path) $secret.key -}}
{{- end -}}
{{- end -}}
{{- range $number, $secret := .Values.image.pullSecrets -}}
{{- $_ := set $names (printf "image.pullSecrets[%d].name" $number) $secret.name -}}
{{- end -}}
{{- include "aoc-migrate.match" (dict
    "values" $names "pattern" "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
    "wanted" "a name in Kubernetes: write lower-case letters, digits, - and ., such as concelier-database") -}}
{{- include "aoc-migrate.match" (dict
    "values" $keys "pattern" "^[-._a-zA-Z0-9]+$"
    "wanted" "a key of a Secret or ConfigMap: write letters, digits, -, _ and ., such as url") -}}
{{- end -}}

{{- define "aoc-migrate.checkImage" -}}
{{- with .Values.image -}}
{{- $first := splitList "/" .repository | first -}}
{{- if and (contains "/" .repository) (regexMatch "[.:]|^localhost$" $first) -}}
{{- fail (printf "image.repository=%s begins with a registry: write image.registry=%s and image.repository=%s." .repository $first (trimPrefix (printf "%s/" $first) .repository)) -}}
{{- end -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "image.registry" .registry) "pattern" "^([A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]*[a-z0-9])?)?$"
    "wanted" "a registry: write its host without https://, such as registry.example or registry.example:5000") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "image.repository" .repository) "pattern" "^[a-z0-9]+([._/-]+[a-z0-9]+)*$"
    "wanted" "the name of an image: write it without registry and tag, such as stellaops/aoc-migrate") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "image.tag" .tag) "pattern" "^(\\w[\\w.-]{0,127})?$"
    "wanted" "a tag: write letters, digits, ., _ and -, such as 0.1.0") -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict "image.digest" .digest) "pattern" "^(sha256:[0-9a-f]{64})?$"
    "wanted" "a digest: write sha256: and 64 hexadecimal digits, as the registry shows it") -}}
{{- end -}}
{{- end -}}

{{- define "aoc-migrate.checkConnections" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.ports }}{{ $ports = append $ports (int . | toString) }}{{ end -}}
{{- range $target, $values := .Values.targets -}}
{{- with $values.connection -}}
{{- $path := printf "targets.%s.connection" $target -}}
{{- include "aoc-migrate.match" (dict
    "values" (dict (printf "%s.host" $path) .host) "pattern" "^(/[^\\x00-\\x1f\\x7f]*|[A-Za-z0-9._-]+|[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,})?$"
    "wanted" "one host: write a name or an address, such as db.stella.svc, or the folder of a socket") -}}
{{- if and .host (not .user) (not .verifier.user) -}}
{{- fail (printf "%s.host=%s has no role: write %s.user." $path .host $path) -}}
{{- end -}}
{{- range $role, $parts := dict $path . (printf "%s.verifier" $path) .verifier -}}
{{- if and $parts.passwordSecret.name (not $parts.user) -}}
{{- fail (printf "%s.passwordSecret.name=%s has no role: write %s.user." $role $parts.passwordSecret.name $role) -}}
{{- end -}}
{{- end -}}
{{- $local := regexMatch "^(/.*|localhost|127\\..*|::1)?$" .host -}}
{{- if and $.Values.networkPolicy.enabled (not $local) (not (has (int .port | toString) $ports)) -}}
{{- fail (printf "%s.port=%d is not in networkPolicy.ports, so that our pods could not reach it: add it there." $path (int .port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Words for the command line: one option an item, and in extraArgs none that another value sets. */}}
{{- define "aoc-migrate.checkWords" -}}
{{- $settings := dict
    "--max-stall" "targets.TARGET.maxStall" "--deadline" "targets.TARGET.deadline" "--lock-wait" "targets.TARGET.lockWait"
    "--throttle-query" "targets.TARGET.throttleQuery" "--push-gateway" "metrics.pushGateway" "--ticket" "ticket"
    "--release-hold" "upgrade.releaseHold" "--evidence" "evidence.persistentVolumeClaim" "--since" "verify.since"
    "--timeout" "wait.timeout" -}}
{{- range $path, $words := dict
    "upgrade.extraArgs" .Values.upgrade.extraArgs "rollback.extraArgs" .Values.rollback.extraArgs
    "verify.extraArgs" .Values.verify.extraArgs "wait.extraArgs" .Values.wait.extraArgs "run.args" .Values.run.args -}}
{{- range $number, $word := $words -}}
{{- $given := printf "%s[%d]=%s" $path $number $word -}}
{{- $option := regexFind "^--[a-z-]+" $word -}}
{{- if and (ne $path "run.args") (hasKey $settings $option) -}}
{{- fail (printf "%s sets what another value sets: write %s instead." $given (get $settings $option)) -}}
{{- end -}}
{{- if regexMatch "^--[a-z-]+(\\s|=['\"])" $word -}}
{{- $value := regexReplaceAll "^--[a-z-]+[\\s=]+" $word "" | trimAll "'\"" -}}
{{- fail (printf "%s is not one word of a command line: write %s=%s, without quotes around the value." $given $option $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "aoc-migrate.checkLabels" -}}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- if hasKey $labels $label -}}
{{- fail (printf "%s has %s, by which the chart finds its pods: leave it out. nameOverride changes app.kubernetes.io/name." $path $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
