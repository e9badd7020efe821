{{/* weir's container, wherever it runs; (dict "root" . "sidecar" true) in a gateway's pod. */}}
{{- define "weir.container" -}}
{{- $root := .root -}}
name: weir
image: {{ include "weir.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
{{- if .sidecar }}
restartPolicy: Always
{{- end }}
args: [serve, --config, /etc/weir/weir.yaml]
{{- $env := $root.Values.extraEnv }}
{{- if $root.Values.postgresql.enabled }}
{{- $password := dict "name" "POSTGRES_PASSWORD" "valueFrom" (dict "secretKeyRef" (dict "name" $root.Values.existingSecret "key" "postgres-password")) }}
{{- $url := dict "name" "WEIR_POSTGRES_URL" "value" (printf "postgres://weir:$(POSTGRES_PASSWORD)@%s:5432/weir" (include "weir.trialServer" (dict "root" $root "name" "postgresql"))) }}
{{- $env = concat (list $password $url) $env }}
{{- end }}
{{- with $env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- if ne $root.Values.mode "sidecar" }}
  - { name: grpc, containerPort: 50051 }
  {{- end }}
  {{- if $root.Values.httpAuthz }}
  - { name: http-authz, containerPort: 9192 }
  {{- end }}
  - { name: grpc-health, containerPort: 50052 }
  - { name: http-admin, containerPort: 9090 }
startupProbe:
  grpc: { port: 50052 }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  grpc: { port: 50052, service: live }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
readinessProbe:
  grpc: { port: 50052 }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- if not .sidecar }}
lifecycle:
  preStop:
    sleep: { seconds: {{ $root.Values.preStopSeconds }} }
{{- end }}
resources:
  {{- toYaml $root.Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  - { name: weir-config, mountPath: /etc/weir, readOnly: true }
  {{- if $root.Values.existingSecret }}
  - { name: weir-secrets, mountPath: /etc/weir/secrets, readOnly: true }
  {{- end }}
  {{- if $root.Values.tls.existingSecret }}
  - { name: weir-tls, mountPath: /etc/weir/tls, readOnly: true }
  {{- end }}
  - { name: weir-data, mountPath: /var/lib/weir }
  {{- if eq $root.Values.mode "sidecar" }}
  - { name: weir-socket, mountPath: /run/weir }
  {{- end }}
  {{- with $root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The volumes that go with it. */}}
{{- define "weir.volumes" -}}
- name: weir-config
  configMap:
    name: {{ include "weir.fullname" . }}
{{- with .Values.existingSecret }}
- name: weir-secrets
  secret:
    secretName: {{ . | quote }}
    # Readable by the group, which fsGroup makes weir's, or by all in a pod that
    # isn't the chart's; weir alone mounts it.
    defaultMode: {{ ternary "0440" "0444" (eq (include "weir.ownPods" $) "true") }}
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: weir-tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- if eq .Values.spool.type "emptyDir" }}
- name: weir-data
  emptyDir: { sizeLimit: {{ .Values.spool.size }} }
{{- else if eq .Values.spool.type "hostPath" }}
- name: weir-data
  hostPath: { path: {{ .Values.spool.hostPath | quote }}, type: DirectoryOrCreate }
{{- end }}
{{- if eq .Values.mode "sidecar" }}
- name: weir-socket
  emptyDir: { sizeLimit: 1Mi }
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How an injected proxy of Istio's ends. */}}
{{- define "weir.proxyEnds" -}}
{{- dict "proxyMetadata" (dict "EXIT_ON_ZERO_ACTIVE_CONNECTIONS" "true" "MINIMUM_DRAIN_DURATION" (printf "%ds" (int .Values.preStopSeconds))) | toJson -}}
{{- end -}}

{{/* The pods of the chart's own workload. */}}
{{- define "weir.pod" -}}
metadata:
  labels:
    {{- include "weir.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Only what takes effect at a start replaces pods; all else is read anew while
    # calls go on.
    checksum/restart: {{ include "weir.restartChecksum" . }}
    {{- if eq .Values.mode "sidecar" }}
    checksum/envoy: {{ include "weir.bootstrap" . | sha256sum }}
    {{- end }}
    {{- if and (eq .Values.attach.type "istio") (ne .Values.mode "sidecar") }}
    # Istio's proxy in these pods, where it is injected, ends when its calls have.
    proxy.istio.io/config: {{ include "weir.proxyEnds" . | quote }}
    {{- end }}
    {{- with mergeOverwrite (deepCopy .Values.commonAnnotations) .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "weir.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "weir.graceSeconds" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and .Values.topologySpread.enabled (ne .Values.mode "daemonset") }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "weir.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- if eq .Values.mode "sidecar" }}
  initContainers:
    - {{ include "weir.container" (dict "root" . "sidecar" true) | nindent 6 | trim }}
  containers:
    - {{ include "weir.envoyContainer" . | nindent 6 | trim }}
  {{- else }}
  containers:
    - {{ include "weir.container" (dict "root" .) | nindent 6 | trim }}
  {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "weir.volumes" . | nindent 4 }}
    {{- if eq .Values.mode "sidecar" }}
    {{- include "weir.envoyVolumes" . | nindent 4 }}
    {{- end }}
{{- end -}}
