{{/* Parts of istio.yaml that others than its objects hold. */}}

{{/* What is attached to: (dict "istio" ... "selector" "workloadSelector" "labels" "labels") */}}
{{- define "weir.istioTargets" -}}
{{- if .istio.targetRefs -}}
targetRefs:
  {{- range .istio.targetRefs }}
  - { group: {{ ternary .group "gateway.networking.k8s.io" (hasKey . "group") | quote }}, kind: {{ .kind | default "Gateway" | quote }}, name: {{ .name | quote }} }
  {{- end }}
{{- else -}}
{{ .selector }}:
  {{ .labels }}:
    {{- toYaml .istio.workloadSelector | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* Which of what pilot makes a patch is for. Waypoints have a match of their own. */}}
{{- define "weir.istioMatch" -}}
{{- $manager := "envoy.filters.network.http_connection_manager" -}}
{{- $router := "envoy.filters.http.router" -}}
context: {{ .context }}
{{- with .proxy }}
proxy: { proxyVersion: {{ . | quote }} }
{{- end }}
{{- if .waypoint }}
waypoint:
  {{- with .port }}
  portNumber: {{ . }}
  {{- end }}
  {{- if eq (default "" .of) "route" }}
  route: { {{- with .name }}name: {{ . | quote }}{{ end }} }
  {{- else if eq (default "" .of) "router" }}
  filter: { name: {{ $manager }}, subFilter: { name: {{ $router }} } }
  {{- else }}
  filter: { name: {{ $manager }} }
  {{- end }}
{{- else if eq (default "" .of) "route" }}
routeConfiguration:
  vhost:
    {{- with .vhost }}
    name: {{ . | quote }}
    {{- end }}
    route: { {{- with .name }}name: {{ . | quote }}, {{ end }}action: ANY }
{{- else if eq (default "" .of) "listener" }}
{{- if eq .context "SIDECAR_INBOUND" }}
# All that comes in has one listener; its own port is another.
listener: { name: virtualInbound }
{{- else if .port }}
listener: { portNumber: {{ .port }} }
{{- end }}
{{- else if .of }}
listener:
  {{- with .port }}
  portNumber: {{ . }}
  {{- end }}
  filterChain: { filter: { name: {{ $manager }}{{ if eq .of "router" }}, subFilter: { name: {{ $router }} }{{ end }} } }
{{- end }}
{{- end -}}

{{- define "weir.mesh" -}}
meshConfig:
  extensionProviders:
  {{- if ne .Values.mode "sidecar" }}
  - name: {{ .Values.attach.istio.authorization.provider | quote }}
    envoyExtAuthzGrpc:
      service: {{ include "weir.host" . }}
      port: 50051
      timeout: 0.5s
      failOpen: false
      statusOnError: "503"
  {{- end }}
  - name: {{ .Values.attach.istio.accessLog.provider | quote }}
    envoyFileAccessLog:
      path: /dev/stdout
      omitEmptyValues: true
      logFormat:
        labels:
          {{- include "weir.log" . | nindent 10 }}
{{- end -}}

{{- define "weir.gatewayPatch" -}}
spec:
  template:
    {{- $sidecar := eq .Values.mode "sidecar" }}
    {{- if $sidecar }}
    metadata:
      annotations:
        checksum/weir: {{ include "weir.restartChecksum" . }}
        # It ends when its calls have.
        proxy.istio.io/config: {{ include "weir.proxyEnds" . | quote }}
    {{- end }}
    spec:
      {{- if $sidecar }}
      terminationGracePeriodSeconds: {{ include "weir.graceSeconds" . }}
      {{- with .Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      initContainers:
        - {{ include "weir.container" (dict "root" . "sidecar" true) | nindent 10 | trim }}
      {{- end }}
      containers:
        - name: istio-proxy
          {{- if ne .Values.attach.istio.context "gateway" }}
          # Where it is injected, this names what is injected.
          image: auto
          {{- end }}
          {{- with .Values.attach.istio.credentials }}
          env:
            {{- range $index, $credential := . }}
            - name: WEIR_CREDENTIAL_{{ $index }}
              valueFrom: { secretKeyRef: { name: {{ .secret | quote }}, key: {{ .key | quote }} } }
            {{- end }}
          {{- end }}
          {{- if $sidecar }}
          volumeMounts:
            - { name: weir-socket, mountPath: /run/weir }
      volumes:
        {{- include "weir.volumes" . | nindent 8 }}
          {{- end }}
{{- end -}}
