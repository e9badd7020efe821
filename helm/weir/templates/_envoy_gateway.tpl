{{/* Where Envoy Gateway's Envoys find weir, and how they treat the connection. */}}
{{- define "weir.egBackends" -}}
backendRefs:
  {{- if or (eq .Values.mode "sidecar") .Values.tls.existingSecret }}
  - { group: gateway.envoyproxy.io, kind: Backend, name: {{ include "weir.fullname" . }} }
  {{- else }}
  - { group: "", kind: Service, name: {{ include "weir.fullname" . }}, namespace: {{ .Release.Namespace }}, port: 50051 }
  {{- end }}
backendSettings:
  # Each call in flight is one stream; the default bound is 1024.
  circuitBreaker: { maxConnections: 1024, maxPendingRequests: 100000, maxParallelRequests: 100000 }
  connection: { bufferLimit: {{ int64 .Values.attach.bufferBytes }} }
  # One that isn't there, or refuses as it is going down, has done nothing for the call:
  # another is asked.
  retry:
    numRetries: 2
    retryOn: { triggers: [ connect-failure, refused-stream, unavailable ] }
    perRetry: { backOff: { baseInterval: 10ms, maxInterval: 50ms } }
  # A weir that hangs is noticed, and its calls fail closed.
  http2: { connectionKeepalive: { interval: 30s, timeout: 5s } }
{{- end -}}
