{{/* Parts of istio.yaml that others than its objects hold. */}}

{{- define "weir.mesh" -}}
meshConfig:
  extensionProviders:
  {{- if ne .Values.mode "sidecar" }}
  - name: {{ .Values.attach.istio.authorization.provider }}
    envoyExtAuthzGrpc:
      service: {{ include "weir.host" . }}
      port: 50051
      timeout: 0.5s
      failOpen: false
      statusOnError: "503"
  {{- end }}
  - name: {{ .Values.attach.istio.accessLog.provider }}
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
    metadata:
      annotations:
        checksum/weir: {{ include "weir.restartChecksum" . }}
    spec:
      terminationGracePeriodSeconds: {{ include "weir.graceSeconds" . }}
      initContainers:
        - {{ include "weir.container" (dict "root" . "sidecar" true) | nindent 10 | trim }}
      containers:
        - name: istio-proxy
          volumeMounts:
            - { name: weir-socket, mountPath: /run/weir }
      volumes:
        {{- include "weir.volumes" . | nindent 8 }}
{{- end -}}
