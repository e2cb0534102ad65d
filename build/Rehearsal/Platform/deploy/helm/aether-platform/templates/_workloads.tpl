{{/* Every enabled workload with a process of its own, as a JSON list of {key, group, name, port, portName, servicePort, values}. */}}
{{- define "aether.workloads" -}}
{{- $found := list -}}
{{- range $group := list "backendServices" "dataPipelines" -}}
  {{- range $key, $values := index $.Values $group -}}
    {{- if $values.enabled -}}
      {{- $found = append $found (dict "key" $key "group" $group "values" $values "name" ($values.name | default (kebabcase $key))
          "port" ($values.port | default 8000) "portName" ($values.portName | default "http")
          "servicePort" ($values.servicePort | default 80)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- with .Values.ui -}}
  {{- if .enabled -}}
    {{- $found = append $found (dict "key" "ui" "group" "ui" "values" . "name" .name
        "port" (.port | default 8080) "portName" "http" "servicePort" 80) -}}
  {{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Takes a workload's name and the root: the labels of everything that belongs to it. "app" alone selects. */}}
{{- define "aether.labels" -}}
app: {{ .name }}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: aether-platform
{{- end -}}

{{- define "aether.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "aether.labels" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* The tag as it was asked for, digest included. */}}
{{- define "aether.tag" -}}
{{- .image.tag | default .root.Values.global.image.tag | default "latest" -}}
{{- end -}}

{{/* repository:tag; the tag may be TAG@sha256:DIGEST. A repository whose first part is an address keeps it. */}}
{{- define "aether.image" -}}
{{- $registry := .root.Values.global.image.registry -}}
{{- $repository := .image.repository -}}
{{- $first := splitList "/" $repository | first -}}
{{- if and $registry (not (or (contains "." $first) (contains ":" $first))) -}}
{{- $repository = printf "%s/%s" $registry $repository -}}
{{- end -}}
{{- printf "%s:%s" $repository (include "aether.tag" .) -}}
{{- end -}}

{{/* The names that a workload's Ingress answers, as a JSON list. */}}
{{- define "aether.hosts" -}}
{{- $hosts := .root.Values.global.hosts -}}
{{- $found := list -}}
{{- if $hosts.production -}}{{- $found = append $found .host -}}{{- end -}}
{{- if $hosts.staging -}}
{{- $found = append $found (regexReplaceAll "^([^.]+)\\." .host (printf "${1}.%s." $hosts.stagingLabel)) -}}
{{- end -}}
{{- if not $found -}}
{{- fail "global.hosts: production and staging are both off, so the stack would answer to no name; for no Ingress set ingress.enabled" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
