{{- define "reactions.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "reactions" $name) }}{{ $name = printf "%s-reactions" $name }}{{ end -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* The functions below take a dict: root, name (of the component), values (of the component). */}}

{{- define "reactions.selector" -}}
app.kubernetes.io/name: reactions
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "reactions.labels" -}}
{{ include "reactions.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "reactions.metadata" -}}
name: {{ include "reactions.fullname" .root }}-{{ .name }}
labels:
  {{- include "reactions.labels" . | nindent 2 }}
{{- end }}

{{- define "reactions.image" -}}
{{- $own := .values.image | default dict -}}
{{- $shared := .root.Values.image -}}
{{- $tag := $own.tag | default $shared.tag | default .root.Chart.AppVersion -}}
image: {{ printf "%s:%s" ($own.repository | default $shared.repository) $tag | quote }}
imagePullPolicy: {{ $shared.pullPolicy }}
{{- end }}

{{/* The image has no writable folder and needs no privilege; its user is 10001. */}}
{{- define "reactions.container" -}}
{{ include "reactions.image" . }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Variables: addresses from the Secret, those that it may lack (both: further keys of the dict,
lists of names), settings. */}}
{{- define "reactions.env" -}}
{{- $secret := .values.secretName | default .root.Values.secretName -}}
env:
  {{- range .addresses }}
  - name: {{ . }}
    valueFrom:
      secretKeyRef: {name: {{ $secret | quote }}, key: {{ . }}}
  {{- end }}
  {{- range .optional }}
  - name: {{ . }}
    valueFrom:
      secretKeyRef: {name: {{ $secret | quote }}, key: {{ . }}, optional: true}
  {{- end }}
  {{- range $name, $value := .root.Values.settings }}
  - name: REACTIONS_{{ upper $name }}
    {{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}
    value: {{ printf "%.0f" $value | quote }} # Helm reads 1000000 as 1e+06
    {{- else }}
    value: {{ $value | toString | quote }}
    {{- end }}
  {{- end }}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "reactions.podMetadata" -}}
metadata:
  labels:
    {{- include "reactions.labels" . | nindent 4 }}
  {{- $annotations := merge (dict) .root.Values.podAnnotations }}
  {{- if and .scrape .root.Values.metrics.scrapeAnnotations }}
  {{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .scrape) }}
  {{- $annotations = merge $annotations $scrape }}
  {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "reactions.pod" -}}
automountServiceAccountToken: false # no process speaks to Kubernetes
enableServiceLinks: false # Kubernetes would set REACTIONS_…_PORT, which look like settings
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints: # two of a kind on two nodes, where there are two
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "reactions.selector" . | nindent 8 }}
{{- end }}

{{/* Serves what the processes of this pod count; a native sidecar, which ends after them. */}}
{{- define "reactions.processMetrics" -}}
- name: metrics
  {{- include "reactions.container" . | nindent 2 }}
  command: [reactions, metrics, --only=processes, --host=0.0.0.0, --port=9107]
  {{- include "reactions.env" . | nindent 2 }}
    - {name: PROMETHEUS_MULTIPROC_DIR, value: /metrics}
  ports:
    - {name: processes, containerPort: 9107}
  resources:
    requests: {cpu: 10m, memory: 96Mi}
    limits: {memory: 192Mi}
  volumeMounts:
    - {name: metrics, mountPath: /metrics}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "reactions.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "reactions.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1 # unlike minAvailable, it never stops the drain of a node for ever
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "reactions.selector" . | nindent 6 }}
{{- end }}
