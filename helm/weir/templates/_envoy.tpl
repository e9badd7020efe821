{{/* What Envoy is told, the same whether Istio carries it or the chart's own Envoy. */}}

{{/* How long weir has for each message; as Envoy writes it. */}}
{{- define "weir.timeouts" -}}
message_timeout: {{ .Values.attach.messageTimeout }}
# As long as a rule may hold a call back, and a little.
max_message_timeout: {{ .Values.attach.maxMessageTimeout }}
{{- end -}}

{{/* Where weir is asked: in the same pod, or as a service of several. */}}
{{- define "weir.service" -}}
{{- if contains "|" .cluster -}}
# Else the cluster's name would be the authority, and HTTP/2 has no place for its bars.
envoy_grpc: { cluster_name: {{ .cluster | quote }}, authority: {{ include "weir.host" .root }} }
# One that isn't there, or refuses as it is going down, has done nothing for the call:
# another is asked.
retry_policy:
  num_retries: 2
  retry_on: connect-failure,refused-stream,unavailable
  retry_back_off: { base_interval: 0.01s, max_interval: 0.05s }
  retry_host_predicate:
  - name: envoy.retry_host_predicates.previous_hosts
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
  host_selection_retry_max_attempts: 3
{{- else -}}
envoy_grpc: { cluster_name: {{ .cluster | quote }} }
{{- end -}}
{{- end -}}

{{/* The whole call in one filter; (dict "root" . "cluster" "...") */}}
{{- define "weir.single" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
grpc_service:
  {{- include "weir.service" . | nindent 2 }}
# Without weir nothing passes: an unmetered call is never free.
failure_mode_allow: false
status_on_error: { code: ServiceUnavailable }
{{ include "weir.timeouts" .root }}
processing_mode:
  request_header_mode: SEND
  request_body_mode: BUFFERED
  request_trailer_mode: SKIP
  response_header_mode: SEND
  response_body_mode: STREAMED
  response_trailer_mode: SKIP
request_attributes: [ source.address, connection.uri_san_peer_certificate, xds.route_name ]
response_attributes: [ response.code_details, upstream.address, upstream.request_attempt_count ]
metadata_options:
  forwarding_namespaces: { untyped: [ envoy.filters.http.ext_authz, envoy.filters.http.jwt_authn ] }
  receiving_namespaces: { untyped: [ weir ] }
{{- end -}}

{{/* The meter sees answers only, and fails open: an answer under way outlives weir. */}}
{{- define "weir.meter" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
grpc_service:
  {{- include "weir.service" . | nindent 2 }}
  initial_metadata: [ { key: x-weir-role, value: meter } ]
failure_mode_allow: true
{{ include "weir.timeouts" .root }}
processing_mode:
  request_header_mode: SKIP
  request_body_mode: NONE
  request_trailer_mode: SKIP
  response_header_mode: SEND
  response_body_mode: STREAMED
  response_trailer_mode: SKIP
response_attributes: [ response.code_details, upstream.address, upstream.request_attempt_count ]
metadata_options:
  # The door leaves the open call here.
  forwarding_namespaces: { untyped: [ weir ] }
  receiving_namespaces: { untyped: [ weir ] }
{{- end -}}

{{/* The door sees requests only, and fails closed. */}}
{{- define "weir.door" -}}
"@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
grpc_service:
  {{- include "weir.service" . | nindent 2 }}
  initial_metadata: [ { key: x-weir-role, value: door } ]
failure_mode_allow: false
status_on_error: { code: ServiceUnavailable }
{{ include "weir.timeouts" .root }}
processing_mode:
  request_header_mode: SEND
  request_body_mode: BUFFERED
  request_trailer_mode: SKIP
  response_header_mode: SKIP
  response_body_mode: NONE
  response_trailer_mode: SKIP
request_attributes: [ source.address, connection.uri_san_peer_certificate, xds.route_name ]
metadata_options:
  forwarding_namespaces: { untyped: [ envoy.filters.http.ext_authz, envoy.filters.http.jwt_authn ] }
  receiving_namespaces: { untyped: [ weir ] }
{{- end -}}

{{/* No client chooses a route by the headers that weir sets. */}}
{{- define "weir.ownHeaders" -}}
early_header_mutation_extensions:
- name: envoy.http.early_header_mutation.header_mutation
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
    mutations: [ { remove: x-weir-cluster }, { remove: x-weir-model } ]
{{- end -}}

{{/* HTTP/2 to weir, and room for as many streams as calls are open. */}}
{{- define "weir.clusterOptions" -}}
connect_timeout: 1s
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config:
      http2_protocol_options:
        # A weir that hangs is noticed, and its calls fail closed.
        connection_keepalive: { interval: 30s, timeout: 5s }
circuit_breakers:
  thresholds: [ { max_connections: 1024, max_pending_requests: 100000, max_requests: 100000 } ]
{{- end -}}

{{/* The cluster of a weir in the same pod. */}}
{{- define "weir.socketCluster" -}}
name: weir
type: STATIC
{{ include "weir.clusterOptions" . }}
load_assignment:
  cluster_name: weir
  endpoints: [ { lb_endpoints: [ { endpoint: { address: { pipe: { path: /run/weir/weir.sock } } } } ] } ]
{{- end -}}

{{/* Fields of an access log that weir fills. */}}
{{- define "weir.logFields" -}}
weir_decision: "%DYNAMIC_METADATA(weir:decision)%"
weir_id: "%DYNAMIC_METADATA(weir:id)%"
weir_tenant: "%DYNAMIC_METADATA(weir:tenant)%"
weir_model: "%DYNAMIC_METADATA(weir:model)%"
weir_outcome: "%DYNAMIC_METADATA(weir:outcome)%"
input_tokens: "%DYNAMIC_METADATA(weir:usage:input_tokens)%"
output_tokens: "%DYNAMIC_METADATA(weir:usage:output_tokens)%"
total_tokens: "%DYNAMIC_METADATA(weir:usage:total_tokens)%"
{{- end -}}

{{/* And what Envoy knows of the call: without its query, where a key may stand. */}}
{{- define "weir.log" -}}
time: "%START_TIME%"
method: "%REQ(:METHOD)%"
path: "%PATH(NQ)%"
status: "%RESPONSE_CODE%"
details: "%RESPONSE_CODE_DETAILS%"
duration_ms: "%DURATION%"
{{ include "weir.logFields" . }}
{{- end -}}
