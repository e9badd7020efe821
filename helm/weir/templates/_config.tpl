{{/* weir.yaml: what the values say, and what the chart knows better. What would not work is refused by _checks.tpl. */}}

{{/* Seconds of a span as "30s", "10m", "1h"; fails for others. */}}
{{- define "weir.seconds" -}}
{{- $span := toString .span -}}
{{- $number := regexFind "^[0-9]+" $span -}}
{{- $unit := trimPrefix $number $span -}}
{{- if eq $unit "s" -}}{{ $number }}
{{- else if eq $unit "m" -}}{{ mul (int64 $number) 60 }}
{{- else if eq $unit "h" -}}{{ mul (int64 $number) 3600 }}
{{- else -}}{{ fail (printf "%s: write it in whole seconds, minutes or hours, as 600s or 10m (got %s)" .at $span) }}
{{- end -}}
{{- end -}}

{{/* Bytes of a size as weir or Kubernetes writes it. */}}
{{- define "weir.bytes" -}}
{{- $size := toString .size | replace "_" "" -}}
{{- $number := regexFind "^[0-9]+" $size -}}
{{- $unit := trimPrefix $number $size | trimSuffix "B" -}}
{{- $factors := dict "" 1 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- mul (int64 $number) (int64 (get $factors $unit | default 1)) -}}
{{- end -}}

{{- define "weir.drainSeconds" -}}
{{- $server := .Values.config.server | default dict -}}
{{- with $server.drain_timeout -}}
{{- include "weir.seconds" (dict "span" . "at" "config.server.drain_timeout") -}}
{{- else -}}
{{- add (int64 .Values.longestCallSeconds) 10 -}}
{{- end -}}
{{- end -}}

{{- define "weir.delaySeconds" -}}
{{- $server := .Values.config.server | default dict -}}
{{- include "weir.seconds" (dict "span" ($server.shutdown_delay | default "0s") "at" "config.server.shutdown_delay") -}}
{{- end -}}

{{/* preStop, the delay, the drain, and the 13s that settling may add, with some room. */}}
{{- define "weir.graceSeconds" -}}
{{- $needed := add (int64 .Values.preStopSeconds) (int64 (include "weir.delaySeconds" .)) (int64 (include "weir.drainSeconds" .)) 20 -}}
{{- with (int64 .Values.terminationGracePeriodSeconds) -}}
{{- if lt . $needed -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is less than preStopSeconds, shutdown_delay, the drain and settling need together: at least %d, or 0" . $needed) -}}
{{- end -}}
{{- . -}}
{{- else -}}
{{- $needed -}}
{{- end -}}
{{- end -}}

{{- define "weir.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $listen := deepCopy ($config.listen | default dict) -}}
{{- if .Values.httpAuthz -}}
{{- $_ := set $listen "http_authz" (printf "%s:9192" .Values.bindAddress) -}}
{{- end -}}
{{- /* What is said of these is refused: probes, services and policies must fit. */ -}}
{{- $address := printf "%s:50051" .Values.bindAddress -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $_ := set $listen "grpc" (dict "address" "unix:/run/weir/weir.sock" "mode" "0666") -}}
{{- else if .Values.tls.existingSecret -}}
{{- $tls := dict "cert" "/etc/weir/tls/tls.crt" "key" "/etc/weir/tls/tls.key" -}}
{{- if .Values.tls.clientCertificates -}}
{{- $_ := set $tls "client_ca" "/etc/weir/tls/ca.crt" -}}
{{- with .Values.tls.clientNames -}}{{- $_ := set $tls "client_names" . -}}{{- end -}}
{{- end -}}
{{- $_ := set $listen "grpc" (dict "address" $address "tls" $tls) -}}
{{- else -}}
{{- $_ := set $listen "grpc" $address -}}
{{- end -}}
{{- $_ := set $listen "health" (printf "%s:50052" .Values.bindAddress) -}}
{{- $_ := set $listen "admin" (printf "%s:9090" .Values.bindAddress) -}}
{{- if not (hasKey $listen "allow_remote") -}}
{{- $_ := set $listen "allow_remote" true -}}
{{- end -}}
{{- $_ := set $config "listen" $listen -}}
{{- $identity := deepCopy ($config.identity | default dict) -}}
{{- if not (hasKey $identity "pepper") -}}
{{- $_ := set $identity "pepper" (dict "file" "/etc/weir/secrets/pepper") -}}
{{- end -}}
{{- $_ := set $config "identity" $identity -}}
{{- if not (and (hasKey $config "ledger") (eq (kindOf $config.ledger) "invalid")) -}}
{{- $ledger := deepCopy ($config.ledger | default dict) -}}
{{- if not (hasKey $ledger "path") -}}
{{- $_ := set $ledger "path" "/var/lib/weir/ledger" -}}
{{- end -}}
{{- if and .Values.postgresql.enabled (not (hasKey $ledger "postgres")) -}}
{{- $_ := set $ledger "postgres" (dict "url" (dict "env" "WEIR_POSTGRES_URL")) -}}
{{- end -}}
{{- $_ := set $config "ledger" $ledger -}}
{{- end -}}
{{- if and .Values.redis.enabled (not (hasKey $config "counters")) -}}
{{- $_ := set $config "counters" (dict "redis" (dict "url" (printf "redis://%s:6379" (include "weir.trialServer" (dict "root" . "name" "redis"))) "password" (dict "file" "/etc/weir/secrets/redis-password"))) -}}
{{- end -}}
{{- $server := deepCopy ($config.server | default dict) -}}
{{- $_ := set $server "drain_timeout" (printf "%ss" (include "weir.drainSeconds" .)) -}}
{{- $_ := set $config "server" $server -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What takes effect at a start only (weir names these fields when they change while
     it runs): pods are replaced for these, and for nothing else of weir.yaml. */}}
{{- define "weir.restartChecksum" -}}
{{- $config := include "weir.config" . | fromYaml -}}
{{- $kept := pick $config "counters" "ledger" "alerts" "holds" "server" -}}
{{- $_ := set $kept "listen" (omit $config.listen "admin_token") -}}
{{- $_ := set $kept "identity" (pick $config.identity "stale_max" "trust_ext_authz") -}}
{{- $telemetry := $config.telemetry | default dict -}}
{{- $_ := set $kept "telemetry" (dict "otlp" $telemetry.otlp "format" (dig "log" "format" "" $telemetry)) -}}
{{- $_ := set $kept "tokens" (pick ($config.tokens | default dict) "learned_path") -}}
{{- toJson $kept | sha256sum -}}
{{- end -}}
