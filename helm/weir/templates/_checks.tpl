{{/* Fails for what can be read and installed, and would not work. */}}
{{- define "weir.checks" -}}
{{- $ownPods := include "weir.ownPods" . -}}
{{- $config := .Values.config -}}
{{- if not .Values.existingSecret -}}
{{- if not (dig "pepper" "" ($config.identity | default dict)) -}}
{{- fail "existingSecret: name a Secret with the key pepper (kubectl create secret generic weir --from-literal=pepper=$(openssl rand -hex 32)), or say config.identity.pepper" -}}
{{- end -}}
{{- end -}}
{{- range $section := list "models" "plans" "tenants" -}}
{{- if not (index $config $section) -}}
{{- fail (printf "config.%s: needs at least one; `weir config example team` prints a whole file to begin with" $section) -}}
{{- end -}}
{{- end -}}
{{- range $name, $key := dict "redis" "redis-password" "postgresql" "postgres-password" -}}
{{- $part := index $.Values $name -}}
{{- if and $part.enabled (or (not $part.existingSecret) (ne $part.existingSecret $.Values.existingSecret)) -}}
{{- fail (printf "%s.existingSecret: name the same Secret as existingSecret, with the key %s beside the others" $name $key) -}}
{{- end -}}
{{- end -}}
{{- range $field, $seconds := dict "drain_timeout" (include "weir.drainSeconds" .) "shutdown_delay" (include "weir.delaySeconds" .) -}}
{{- if gt (int64 $seconds) 3600 -}}
{{- fail (printf "config.server.%s: at most 1h" $field) -}}
{{- end -}}
{{- end -}}
{{- $ledger := $config.ledger | default dict -}}
{{- $sinks := pick $ledger "postgres" "file" "otlp" "cloudevents" -}}
{{- $sqlite := or (hasKey $ledger "sqlite") (not (or $sinks .Values.postgresql.enabled)) -}}
{{- if and $sqlite (eq .Values.spool.type "emptyDir") (not .Values.allowEphemeralLedger) -}}
{{- fail "config.ledger.postgres: without it keys, grants and rows are in a SQLite database, and on an emptyDir they are lost with the pod, at each upgrade too: spool.type: persistentVolumeClaim (or hostPath), a PostgreSQL, or allowEphemeralLedger: true" -}}
{{- end -}}
{{- $body := include "weir.bytes" (dict "size" (dig "server" "body_bytes_max" "10MiB" $config)) -}}
{{- if gt (int64 $body) (int64 .Values.attach.bufferBytes) -}}
{{- fail "attach.bufferBytes: is less than config.server.body_bytes_max, so Envoy would refuse (413) what weir takes" -}}
{{- end -}}
{{- $spool := include "weir.bytes" (dict "size" (dig "spool_bytes_max" "4GiB" $ledger)) -}}
{{- if and (ne .Values.spool.type "hostPath") (gt (int64 $spool) (int64 (include "weir.bytes" (dict "size" .Values.spool.size)))) -}}
{{- fail "spool.size: is less than config.ledger.spool_bytes_max (4 GiB where it isn't said), so the pod would be evicted, or the disk full, before weir stops" -}}
{{- end -}}
{{- if and .Values.httpAuthz (eq .Values.mode "sidecar") -}}
{{- fail "httpAuthz: in mode sidecar nobody but the pod's own Envoy asks weir" -}}
{{- end -}}
{{- if not $ownPods -}}
{{- range $field := list "podLabels" "podAnnotations" "extraContainers" "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- if index $.Values $field -}}
{{- fail (printf "%s: the pods are the gateway's: set it there" $field) -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail "replicas: weirs are as many as the gateway's pods" -}}
{{- end -}}
{{- if .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor.enabled: there is no service in a gateway's pods: podMonitor, with a selector" -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.extraConfigFiles -}}
{{- if or (not (regexMatch "^[-._a-zA-Z0-9]+$" $name)) (has $name (list "secrets" "tls")) -}}
{{- fail (printf "extraConfigFiles: %s is no name for a file there" $name) -}}
{{- end -}}
{{- end -}}
{{- range $field := list "grpc" "health" "admin" "http_authz" -}}
{{- if hasKey ($config.listen | default dict) $field -}}
{{- fail (printf "config.listen.%s: the chart says where weir listens, as probes, services and policies must fit: see mode, bindAddress, tls, httpAuthz" $field) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "rediss?://[^/@\"]*:[^/@\"]+@" (toJson (dig "counters" "redis" dict $config)) -}}
{{- fail "config.counters.redis: a password would stand in a ConfigMap: say password: { file: /etc/weir/secrets/redis-password }" -}}
{{- end -}}
{{- if hasKey .Values.extraConfigFiles "weir.yaml" -}}
{{- fail "extraConfigFiles: weir.yaml is what config says" -}}
{{- end -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- if or (hasKey $.Values.podLabels $label) (hasKey $.Values.commonLabels $label) -}}
{{- fail (printf "podLabels: %s is what the chart finds its pods by" $label) -}}
{{- end -}}
{{- end -}}
{{- if gt (float64 (trimSuffix "s" .Values.attach.messageTimeout)) (float64 (trimSuffix "s" .Values.attach.maxMessageTimeout)) -}}
{{- fail "attach.maxMessageTimeout: is less than messageTimeout" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.maxReplicas: is less than minReplicas" -}}
{{- end -}}
{{- if and (eq .Values.spool.type "hostPath") (ne .Values.mode "daemonset") -}}
{{- fail "spool.type: hostPath is for mode daemonset: two weirs of one node can't share a folder" -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
{{- if not $ownPods -}}
{{- fail "networkPolicy.enabled: the pods are the gateway's, and so are its policies" -}}
{{- end -}}
{{- if and (ne .Values.mode "sidecar") (not .Values.networkPolicy.gateways) -}}
{{- fail "networkPolicy.gateways: name who may reach the gRPC port; else nobody does" -}}
{{- end -}}
{{- end -}}
{{- if and (ne .Values.mode "sidecar") (ne .Values.service.type "ClusterIP") (not (and .Values.tls.existingSecret .Values.tls.clientCertificates)) -}}
{{- fail "service.type: who reaches the gRPC port can speak as Envoy: beyond the cluster only with tls.existingSecret and clientCertificates" -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor.enabled (not $ownPods) (not .Values.monitoring.podMonitor.selector) -}}
{{- fail "monitoring.podMonitor.selector: name the labels of the gateway's pods" -}}
{{- end -}}
{{- $several := or (gt (int .Values.replicas) 1) .Values.autoscaling.enabled (eq .Values.mode "daemonset") (not $ownPods) -}}
{{- if and $several (not .Values.allowUnshared) -}}
{{- if not (or .Values.redis.enabled (dig "counters" "redis" "" $config)) -}}
{{- fail "config.counters.redis: several weirs need a Redis to count together (or redis.enabled, or allowUnshared: true, where each grants every limit anew)" -}}
{{- end -}}
{{- if not (or .Values.postgresql.enabled (dig "ledger" "postgres" "" $config)) -}}
{{- fail "config.ledger.postgres: several weirs need a PostgreSQL to share keys, grants and the ledger (or postgresql.enabled, or allowUnshared: true, where these are each one's own)" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.mode "daemonset") (eq .Values.spool.type "persistentVolumeClaim") -}}
{{- fail "spool.type: a DaemonSet has no claims of its own: hostPath or emptyDir" -}}
{{- end -}}
{{- if and (not $ownPods) (eq .Values.spool.type "persistentVolumeClaim") -}}
{{- fail "spool.type: a gateway's pods have no claims of their own: emptyDir" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (ne .Values.mode "deployment") -}}
{{- fail "autoscaling.enabled: only in mode deployment; in others weir is as many as its gateways or nodes are" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not (or .Values.autoscaling.cpu .Values.autoscaling.openCalls)) -}}
{{- fail "autoscaling: set cpu or openCalls" -}}
{{- end -}}
{{- if and (eq .Values.attach.type "istio") .Values.attach.istio.targetRefs .Values.attach.istio.workloadSelector -}}
{{- fail "attach.istio: targetRefs or workloadSelector, not both" -}}
{{- end -}}
{{- if and (eq .Values.attach.type "istio") (not .Values.attach.istio.targetRefs) (not .Values.attach.istio.workloadSelector) -}}
{{- fail "attach.istio: name targetRefs or a workloadSelector; without either every Envoy of the namespace would ask weir" -}}
{{- end -}}
{{- if and (eq .Values.attach.type "istio") (eq .Values.attach.istio.context "waypoint") (not .Values.attach.istio.targetRefs) -}}
{{- fail "attach.istio.targetRefs: name the waypoint" -}}
{{- end -}}
{{- if and (eq .Values.attach.type "istio") .Values.attach.istio.routes.optIn (not .Values.attach.istio.routes.include) -}}
{{- fail "attach.istio.routes.include: with optIn no route would pass weir; name some" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret (eq .Values.mode "sidecar") -}}
{{- fail "tls.existingSecret: in mode sidecar gateways use a Unix socket, which has no TLS" -}}
{{- end -}}
{{- if and (eq .Values.attach.type "istio") .Values.tls.existingSecret -}}
{{- fail "tls.existingSecret: in a mesh leave TLS to Istio; weir's pods join it by its injection" -}}
{{- end -}}
{{- if eq .Values.attach.type "istio" -}}
{{- if and (eq .Values.mode "sidecar") .Values.attach.istio.namespace (ne .Values.attach.istio.namespace .Release.Namespace) -}}
{{- fail "attach.istio.namespace: in mode sidecar the release's own, as the gateway's pods mount its ConfigMap and Secret" -}}
{{- end -}}
{{- if and (eq .Values.attach.istio.context "sidecarOutbound") .Values.attach.istio.authorization.enabled -}}
{{- fail "attach.istio.authorization.enabled: Istio judges what comes in alone; where calls leave, ext_proc judges callers by itself" -}}
{{- end -}}
{{- if eq .Values.attach.istio.context "waypoint" -}}
{{- $vhosts := 0 -}}
{{- range .Values.attach.istio.routes.include -}}{{- if .vhost -}}{{- $vhosts = 1 -}}{{- end -}}{{- end -}}
{{- if or $vhosts .Values.attach.istio.routes.exclude -}}
{{- fail "attach.istio.routes: at a waypoint routes are known by name alone, most of them as default: no exclude, and no vhost" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.attach.istio.context "waypoint") (or (eq .Values.mode "sidecar") .Values.attach.istio.credentials) -}}
{{- fail "attach.istio.context: a waypoint's pods are Istio's own: mode deployment, and no credentials" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.attach.type "istio") (eq .Values.mode "sidecar") .Values.attach.istio.authorization.enabled -}}
{{- fail "attach.istio.authorization.enabled: in mode sidecar there is no service that Istio could ask; ext_proc judges callers by itself" -}}
{{- end -}}
{{- if eq .Values.attach.type "envoyGateway" -}}
{{- if not .Values.attach.envoyGateway.targetRefs -}}
{{- fail "attach.envoyGateway.targetRefs: name HTTPRoutes or Gateways" -}}
{{- end -}}
{{- if and (eq .Values.attach.profile "split") (not .Values.attach.envoyGateway.patch.enabled) -}}
{{- fail "attach.profile: split needs attach.envoyGateway.patch.enabled, as Envoy Gateway's own policies can't tell the door from the meter" -}}
{{- end -}}
{{- if and .Values.attach.envoyGateway.patch.enabled (not .Values.attach.envoyGateway.patch.listeners) -}}
{{- fail "attach.envoyGateway.patch.listeners: name the listeners, as { gateway: eg, listener: http }" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret .Values.tls.clientCertificates (not .Values.tls.clientSecret) -}}
{{- fail "tls.clientSecret: name the certificate that gateways show, or set clientCertificates: false" -}}
{{- end -}}
{{- if and (eq .Values.mode "sidecar") (not .Values.attach.envoyGateway.envoyProxy.enabled) -}}
{{- fail "attach.envoyGateway.envoyProxy.enabled: in mode sidecar it is what puts weir into the gateway's pods" -}}
{{- end -}}
{{- end -}}
{{- $names := list "weir" -}}
{{- range .Values.gateway.providers -}}
{{- if has .name $names -}}
{{- fail (printf "gateway.providers: there is a cluster of the name %s already" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if has (int .Values.gateway.port) (list 9090 9192 9901 50051 50052) -}}
{{- fail "gateway.port: weir or Envoy's own pages are there" -}}
{{- end -}}
{{- if and (eq .Values.mode "sidecar") (eq .Values.attach.type "none") (not .Values.gateway.providers) -}}
{{- fail "gateway.providers: where the chart's own Envoy sends calls" -}}
{{- end -}}
{{- end -}}
