{{/* Names and labels. */}}

{{- define "weir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "weir.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "weir.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
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
{{- printf "%s.%s.svc.cluster.local" (include "weir.fullname" .) .Release.Namespace -}}
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
