{{/* The chart's own Envoy: `mode: sidecar` with `attach.type: none`. */}}

{{- define "weir.bootstrap" -}}
# Files that Envoy follows, as those of the credentials, need it to have a name.
node: { id: weir-gateway, cluster: weir-gateway }
admin:
  address: { socket_address: { address: 127.0.0.1, port_value: 9901 } }
static_resources:
  listeners:
  - name: llm
    address: { socket_address: { address: {{ .Values.bindAddress | trimPrefix "[" | trimSuffix "]" | quote }}, port_value: {{ .Values.gateway.port }} } }
    per_connection_buffer_limit_bytes: {{ int64 .Values.attach.bufferBytes }}
    filter_chains:
    - {{ if .Values.gateway.tlsSecret }}transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [ h2, http/1.1 ]
            tls_certificate_sds_secret_configs:
            - name: certificate
              sds_config:
                resource_api_version: V3
                path_config_source: { path: /etc/envoy/certificate.yaml, watched_directory: { path: /etc/envoy/tls } }
      {{ end }}filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: llm
          stream_idle_timeout: 600s
          request_headers_timeout: 10s
          request_timeout: 120s
          use_remote_address: true
          xff_num_trusted_hops: {{ .Values.gateway.trustedHops }}
          {{- include "weir.ownHeaders" . | nindent 10 }}
          skip_xff_append: true
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: KEEP_UNCHANGED
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format:
                omit_empty_values: true
                json_format:
                  {{- include "weir.log" . | nindent 18 }}
          http_filters:
          # What tells the balancer whether to send calls here; weir isn't asked.
          - name: envoy.filters.http.health_check
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck
              pass_through_mode: false
              headers: [ { name: ":path", string_match: { exact: /healthz } } ]
          {{- if eq .Values.attach.profile "split" }}
          - name: weir.meter
            typed_config:
              {{- include "weir.meter" (dict "root" . "cluster" "weir") | nindent 14 }}
          - name: weir.door
            typed_config:
              {{- include "weir.door" (dict "root" . "cluster" "weir") | nindent 14 }}
          {{- else }}
          - name: envoy.filters.http.ext_proc
            typed_config:
              {{- include "weir.single" (dict "root" . "cluster" "weir") | nindent 14 }}
          {{- end }}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: providers
              domains: [ "*" ]
              request_headers_to_remove: [ x-envoy-external-address ]
              routes:
              {{- range .Values.gateway.providers }}
              # Where a rule chooses this provider.
              - name: {{ printf "%s-chosen" .name | quote }}
                match: { prefix: /, headers: [ { name: x-weir-cluster, string_match: { exact: {{ .name | quote }} } } ] }
                route: { cluster: {{ .name | quote }}, timeout: {{ $.Values.longestCallSeconds }}s, host_rewrite_literal: {{ .host | quote }} }
              {{- end }}
              {{- range .Values.gateway.providers }}
              - name: {{ .name | quote }}
                match: { prefix: {{ .prefix | default "/" | quote }} }
                route: { cluster: {{ .name | quote }}, timeout: {{ $.Values.longestCallSeconds }}s, host_rewrite_literal: {{ .host | quote }} }
              {{- end }}
  clusters:
  - {{ include "weir.socketCluster" . | nindent 4 | trim }}
  {{- range $index, $provider := .Values.gateway.providers }}
  - name: {{ .name | quote }}
    type: STRICT_DNS
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [ { max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 } ]
    load_assignment:
      cluster_name: {{ .name | quote }}
      endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: {{ .host | quote }}, port_value: {{ .port | default 443 }} } } } } ] } ]
    {{- if ne (toString .tls) "false" }}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: {{ .host | quote }}
        auto_sni_san_validation: true
        common_tls_context:
          validation_context: { trusted_ca: { filename: {{ .ca | default "/etc/ssl/certs/ca-certificates.crt" | quote }} } }
    {{- end }}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: {} }
        {{- with .credential }}
        # The provider's key is set here, behind weir: callers never hold it.
        http_filters:
        - name: envoy.filters.http.credential_injector
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
            overwrite: true
            credential:
              name: envoy.http.injected_credentials.generic
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
                header: {{ .header | default "authorization" | quote }}
                credential:
                  name: credential
                  sds_config:
                    resource_api_version: V3
                    path_config_source:
                      path: /etc/envoy/credential-{{ $index }}.yaml
                      watched_directory: { path: /etc/envoy/credentials/{{ $index }} }
        - name: envoy.filters.http.upstream_codec
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
        {{- end }}
  {{- end }}
{{- end -}}

{{/* Says Envoy where a credential stands; it follows the file. */}}
{{- define "weir.credential" -}}
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: credential
  generic_secret:
    secret:
      filename: /etc/envoy/credentials/{{ .index }}/{{ .key }}
{{- end -}}

{{/* And its own certificate. */}}
{{- define "weir.certificate" -}}
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: certificate
  tls_certificate:
    certificate_chain: { filename: /etc/envoy/tls/tls.crt }
    private_key: { filename: /etc/envoy/tls/tls.key }
{{- end -}}

{{/* Ends Envoy when its calls have: it would cut them at SIGTERM. */}}
{{- define "weir.drainScript" -}}
# Envoy's listeners close gently, its clients are told to go elsewhere, and open
# calls end, for so many seconds at the most.
seconds_max="$1"
admin_port="${2:-9901}"
ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$admin_port" || return 1
  printf '%s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" >&3
  cat <&3
  exec 3<&-
}
ask 'POST /healthcheck/fail' >/dev/null
ask 'POST /drain_listeners?graceful&skip_exit' >/dev/null
end=$((SECONDS + seconds_max))
# Balancers and endpoints are told meanwhile.
sleep "${3:-{{ .Values.preStopSeconds }}}"
while [ "$SECONDS" -lt "$end" ]; do
  active="$(ask 'GET /stats?filter=^http.llm.downstream_rq_active$')"
  case "$active" in *"downstream_rq_active: 0"*) exit 0 ;; esac
  sleep 1
done
{{- end -}}

{{- define "weir.envoyContainer" -}}
name: envoy
image: {{ .Values.gateway.image | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [-c, /etc/envoy/envoy.yaml, --log-level, warn]
ports:
  - { name: http, containerPort: {{ .Values.gateway.port }} }
readinessProbe:
  httpGet: { path: /healthz, port: http{{ if .Values.gateway.tlsSecret }}, scheme: HTTPS{{ end }} }
  periodSeconds: 2
  failureThreshold: 2
lifecycle:
  preStop:
    exec:
      command: [bash, /etc/envoy/drain.sh, {{ add (int64 .Values.preStopSeconds) (int64 .Values.longestCallSeconds) | quote }}]
resources:
  {{- toYaml .Values.gateway.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  - { name: envoy-config, mountPath: /etc/envoy, readOnly: true }
  {{- range $index, $provider := .Values.gateway.providers }}
  {{- if .credential }}
  - { name: credentials-{{ $index }}, mountPath: /etc/envoy/credentials/{{ $index }}, readOnly: true }
  {{- end }}
  {{- end }}
  {{- with .Values.gateway.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .Values.gateway.tlsSecret }}
  - { name: envoy-tls, mountPath: /etc/envoy/tls, readOnly: true }
  {{- end }}
  - { name: weir-socket, mountPath: /run/weir }
{{- end -}}

{{- define "weir.envoyVolumes" -}}
- name: envoy-config
  configMap:
    name: {{ include "weir.fullname" . }}-envoy
{{- range $index, $provider := .Values.gateway.providers }}
{{- with .credential }}
- name: credentials-{{ $index }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- with .Values.gateway.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- with .Values.gateway.tlsSecret }}
- name: envoy-tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- end -}}
