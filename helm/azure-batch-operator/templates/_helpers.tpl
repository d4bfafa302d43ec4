{{- define "azure-batch-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Release and chart name, or either if one holds the other. Shorter than 63 by what is put after it. */ -}}
{{- define "azure-batch-operator.fullname" -}}
{{- $name := include "azure-batch-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "azure-batch-operator.selector" -}}
app.kubernetes.io/name: {{ include "azure-batch-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Of the pod of `helm test`, which no selector of the operator's own finds. */ -}}
{{- define "azure-batch-operator.checkLabels" -}}
app.kubernetes.io/name: {{ include "azure-batch-operator.name" . | trunc 57 | trimSuffix "-" }}-check
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "azure-batch-operator.labels" -}}
{{ include "azure-batch-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "azure-batch-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "azure-batch-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "azure-batch-operator.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "azure-batch-operator.elects" -}}
{{- if or .Values.leaderElection.enabled (gt (int .Values.replicaCount) 1) (include "azure-batch-operator.divides" .) }}true{{ end -}}
{{- end }}

{{- /* Whether replicas share the accounts, each shard with a Lease. */ -}}
{{- define "azure-batch-operator.divides" -}}
{{- if gt (int (default 1 .Values.config.shards)) 1 }}true{{ end -}}
{{- end }}

{{- define "azure-batch-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "azure-batch-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* The settings as environment: lists as JSON, all else as text. */ -}}
{{- define "azure-batch-operator.settings" -}}
{{- $settings := deepCopy .Values.config }}
{{- with .Values.watchNamespaces }}{{ $_ := set $settings "namespaces" . }}{{ end }}
{{- with .Values.workloadIdentity.namespaces }}{{ $_ := set $settings "identityNamespaces" . }}{{ end }}
{{- if include "azure-batch-operator.elects" . }}{{ $_ := set $settings "leaderElection" true }}{{ end }}
{{- range $name, $value := $settings }}
- name: AZURE_BATCH_OPERATOR_{{ $name | snakecase | upper }}
  value: {{ if kindIs "slice" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- if include "azure-batch-operator.elects" . }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- end }}
