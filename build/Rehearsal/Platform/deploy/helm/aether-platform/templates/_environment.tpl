{{/*
The environment of a workload: its own list, then global.env, then what the chart knows. A name is taken from the first that has
it and never twice: server-side apply refuses a list with two entries of one name.
*/}}
{{- define "aether.environment" -}}
{{- $values := .root.Values -}}
{{- $all := .workload.values.env | default list -}}
{{- if ne .workload.group "ui" -}}
  {{- $all = concat $all ($values.global.env | default list) (include "aether.platformEnvironment" . | fromYamlArray) -}}
{{- end -}}
{{- $release := include "aether.tag" (dict "root" .root "image" .workload.values.image) | splitList "@" | first -}}
{{- $all = concat $all (list (dict "name" "AETHER_SERVICE" "value" .workload.name) (dict "name" "AETHER_RELEASE" "value" $release)) -}}
{{- with $values.global.slot -}}{{- $all = append $all (dict "name" "AETHER_SLOT" "value" .) -}}{{- end -}}
{{- $seen := dict -}}
{{- $kept := list -}}
{{- range $all -}}
  {{- if not (hasKey $seen .name) -}}
    {{- $_ := set $seen .name true -}}
    {{- $kept = append $kept . -}}
  {{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{- define "aether.platformEnvironment" -}}
{{- $values := .root.Values -}}
{{- $global := $values.global -}}
- { name: AETHER_STATE_DIR, value: {{ $global.stateDir | quote }} }
{{- range $name, $allowed := $values.runtimeSafety }}
- { name: {{ $name }}, value: {{ ternary "1" "0" $allowed | quote }} }
{{- end }}
{{- with $global.accountAllowlists.admin }}{{ if .secretName }}
- { name: ADMIN_ALLOWLIST, valueFrom: { secretKeyRef: { name: {{ .secretName }}, key: {{ .secretKey }} } } }
{{- end }}{{ end }}
{{- with $global.accountAllowlists.director }}{{ if .secretName }}
- { name: DIRECTOR_ALLOWLIST, valueFrom: { secretKeyRef: { name: {{ .secretName }}, key: {{ .secretKey }} } } }
{{- end }}{{ end }}
{{- if $global.sessionStore.redisUrl }}
- { name: SESSION_REDIS_URL, value: {{ $global.sessionStore.redisUrl | quote }} }
{{- else if $values.dependencies.redis.enabled }}
{{- /* As in the platform: the password stands in clear text in every Deployment. */}}
- { name: SESSION_REDIS_URL, value: "redis://:{{ $values.dependencies.redis.password }}@{{ .root.Release.Name }}-redis-master:6379/0" }
{{- end }}
{{- if and $global.krakenSecrets.enabled .workload.values.krakenSecrets }}
{{- range $global.krakenSecrets.accounts }}
{{- /* The platform's code looks for the account's name with its hyphen and falls back to its default path, which is the same. */}}
- name: AETHER_{{ .name | upper | replace "-" "_" }}_KRAKEN_SECRET_PATH
  value: {{ printf "%s/%s/%s" $global.krakenSecrets.basePath .name $global.krakenSecrets.fileName | quote }}
{{- end }}
{{- end }}
{{- end -}}
