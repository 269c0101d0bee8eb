{{/*
How a role connects, as JSON: (dict "root" $ "target" NAME "role" "owner"|"verifier"). `secret` fills the variable
TARGET_DATABASE_`variable`, from a file of the same name in lower case where it is mounted; `url` has no secret in it.
Fails if the role is named twice, or not at all.
*/}}
{{- define "aoc-migrate.credentials" -}}
{{- $values := get .root.Values.targets .target -}}
{{- $verifier := eq .role "verifier" -}}
{{- $connection := $values.connection -}}
{{- $key := ternary "verifierUrlSecret" "urlSecret" $verifier -}}
{{- $secret := get $values $key -}}
{{- $parts := ternary $connection.verifier $connection $verifier -}}
{{- $path := printf "targets.%s.connection%s" .target (ternary ".verifier" "" $verifier) -}}
{{- if not $parts.user -}}
{{- $name := $secret.name | default (ternary "" (printf "%s-database" .target) $verifier) -}}
{{- if not $name -}}
{{- fail (printf "targets.%s.%s.name is empty: name the Secret that holds the URL of the read-only role, or set %s.user." .target $key $path) -}}
{{- end -}}
{{- if and $verifier (not $connection.user) (eq $name ($values.urlSecret.name | default (printf "%s-database" .target))) (eq $secret.key $values.urlSecret.key) -}}
{{- fail (printf "targets.%s.verifierUrlSecret is urlSecret: verification needs a read-only role." .target) -}}
{{- end -}}
{{- dict "variable" "URL" "secret" (dict "name" $name "key" $secret.key "as" $secret.as) | toJson -}}
{{- else if $secret.name -}}
{{- fail (printf "%s.user and targets.%s.%s.name are both set: leave one of them out." $path .target $key) -}}
{{- else if not $connection.host -}}
{{- fail (printf "%s.user=%s has no server: write targets.%s.connection.host." $path $parts.user .target) -}}
{{- else if not $connection.database -}}
{{- fail (printf "targets.%s.connection.database is empty: write the name of the database, such as %s." .target .target) -}}
{{- else if and $verifier (eq $parts.user $connection.user) -}}
{{- fail (printf "%s.user=%s owns the tables: verification needs a read-only role." $path $parts.user) -}}
{{- else -}}
{{- dict
    "variable" "PASSWORD" "secret" (ternary (dict) $parts.passwordSecret (empty $parts.passwordSecret.name))
    "url" (include "aoc-migrate.url" (dict "user" $parts.user "connection" $connection)) | toJson -}}
{{- end -}}
{{- end -}}

{{/* A URL without password; libpq reads + as itself, so that a space is %20. */}}
{{- define "aoc-migrate.url" -}}
{{- with .connection -}}
{{- $host := .host -}}
{{- if hasPrefix "/" .host }}{{ $host = urlquery .host | replace "+" "%20" }}{{ end -}}
{{- if contains ":" $host }}{{ $host = printf "[%s]" .host }}{{ end -}}
postgresql://{{ urlquery $.user | replace "+" "%20" }}@{{ $host }}:{{ int .port }}/{{ urlquery .database | replace "+" "%20" }}
{{- end -}}
{{- end -}}

{{/* The role that waits: the verifier if it is named, else the owner. */}}
{{- define "aoc-migrate.waitRole" -}}
{{- $values := get .root.Values.targets .target -}}
{{- ternary "owner" "verifier" (and (empty $values.verifierUrlSecret.name) (empty $values.connection.verifier.user)) -}}
{{- end -}}
