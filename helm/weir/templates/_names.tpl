{{/* Names and labels. */}}

{{- define "weir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A Service's name: letters, digits and dashes, a letter first; short enough for what
     is appended to it, and for the pods of a StatefulSet. */}}
{{- define "weir.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = .Release.Name -}}
{{- if not (contains (include "weir.name" .) .Release.Name) -}}
{{- $name = printf "%s-%s" .Release.Name (include "weir.name" .) -}}
{{- end -}}
{{- end -}}
{{- $name = regexReplaceAll "[^a-z0-9-]+" (lower $name) "-" -}}
{{- if regexMatch "^[^a-z]" $name -}}{{- $name = printf "weir-%s" (trimPrefix "-" $name) -}}{{- end -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The trial servers' services, as their charts name them. */}}
{{- define "weir.trialServer" -}}
{{- printf "%s-%s" (regexReplaceAll "[^a-z0-9-]+" (lower .root.Release.Name) "-" | trunc 40 | trimSuffix "-") .name -}}
{{- end -}}

{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ include "weir.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: (dict "root" . "suffix" "..." "namespace" "...") */}}
{{- define "weir.metadata" -}}
name: {{ include "weir.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- if .labelled }}
  {{- toYaml .labelled | nindent 2 }}
  {{- else }}
  {{- include "weir.labels" .root | nindent 2 }}
  {{- end }}
  {{- range $name, $value := .labels }}
  {{ $name }}: {{ $value | quote }}
  {{- end }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "weir.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "weir.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "weir.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The host by which others in the cluster reach the service. */}}
{{- define "weir.host" -}}
{{- printf "%s.%s.svc.%s" (include "weir.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* Whether the chart runs weir's pods itself ("true"), or they are a gateway's. */}}
{{- define "weir.ownPods" -}}
{{- if or (ne .Values.mode "sidecar") (eq .Values.attach.type "none") }}true{{ end -}}
{{- end -}}

{{- define "weir.kind" -}}
{{- if eq .Values.mode "daemonset" -}}DaemonSet
{{- else if eq .Values.spool.type "persistentVolumeClaim" -}}StatefulSet
{{- else -}}Deployment
{{- end -}}
{{- end -}}

{{- define "weir.istioNamespace" -}}
{{- .Values.attach.istio.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "weir.egNamespace" -}}
{{- .Values.attach.envoyGateway.namespace | default .Release.Namespace -}}
{{- end -}}
