"""What the OpenAPI definitions do not say about Kubernetes' Go types: which optional scalars are pointers.

A pointer's zero is kept (``replicas: 0``), a plain optional zero is left out (``hostNetwork: false``).
"""

from __future__ import annotations

_POINTER_FIELDS = {
    'ConfigMap': 'immutable', 'Secret': 'immutable', 'ServiceAccount': 'automountServiceAccountToken',
    'ConfigMapEnvSource': 'optional', 'ConfigMapKeySelector': 'optional', 'ConfigMapProjection': 'optional',
    'ConfigMapVolumeSource': 'optional defaultMode', 'SecretEnvSource': 'optional', 'SecretKeySelector': 'optional',
    'SecretProjection': 'optional', 'SecretVolumeSource': 'optional defaultMode', 'FileKeySelector': 'optional',
    'ProjectedVolumeSource': 'defaultMode', 'DownwardAPIVolumeSource': 'defaultMode', 'KeyToPath': 'mode',
    'DownwardAPIVolumeFile': 'mode', 'ServiceAccountTokenProjection': 'expirationSeconds',
    'ClusterTrustBundleProjection': 'name signerName optional', 'HostPathVolumeSource': 'type',
    'PodSpec': 'terminationGracePeriodSeconds activeDeadlineSeconds automountServiceAccountToken '
               'shareProcessNamespace priority enableServiceLinks setHostnameAsFQDN hostUsers preemptionPolicy '
               'runtimeClassName hostnameOverride',
    'PodSecurityContext': 'runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy supplementalGroupsPolicy '
                          'seLinuxChangePolicy',
    'SecurityContext': 'privileged runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem '
                       'allowPrivilegeEscalation procMount',
    'Container': 'restartPolicy', 'EphemeralContainer': 'restartPolicy',
    'Probe': 'terminationGracePeriodSeconds', 'GRPCAction': 'service',
    'Toleration': 'tolerationSeconds', 'TopologySpreadConstraint': 'minDomains nodeAffinityPolicy nodeTaintsPolicy',
    'VolumeMount': 'mountPropagation recursiveReadOnly', 'PodDNSConfigOption': 'value',
    'CSIVolumeSource': 'readOnly fsType',
    'ServiceSpec': 'ipFamilyPolicy allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy '
                   'trafficDistribution',
    'ServicePort': 'appProtocol', 'ClientIPConfig': 'timeoutSeconds', 'PortStatus': 'error',
    'LoadBalancerIngress': 'ipMode', 'EndpointAddress': 'nodeName',
    'EndpointPort': 'appProtocol', 'discovery.EndpointPort': 'name protocol port appProtocol',
    'Endpoint': 'hostname nodeName zone',
    'EndpointConditions': 'ready serving terminating', 'ContainerStatus': 'started',
    'ObjectMeta': 'deletionGracePeriodSeconds', 'OwnerReference': 'controller blockOwnerDeletion',
    'DeploymentSpec': 'replicas revisionHistoryLimit progressDeadlineSeconds',
    'DeploymentStatus': 'collisionCount terminatingReplicas', 'ReplicaSetSpec': 'replicas',
    'ReplicaSetStatus': 'terminatingReplicas', 'LeaseSpec': 'holderIdentity leaseDurationSeconds leaseTransitions '
                                                            'strategy preferredHolder',
    'PersistentVolumeClaimSpec': 'storageClassName volumeMode volumeAttributesClassName',
    'TokenRequestSpec': 'expirationSeconds',
    'DeleteOptions': 'gracePeriodSeconds orphanDependents propagationPolicy', 'Preconditions': 'uid resourceVersion',
    'AppArmorProfile': 'localhostProfile',
    'SeccompProfile': 'localhostProfile',
    'WindowsSecurityContextOptions': 'gmsaCredentialSpecName gmsaCredentialSpec runAsUserName hostProcess',
    'StatefulSetSpec': 'replicas revisionHistoryLimit', 'RollingUpdateStatefulSetStrategy': 'partition',
    'StatefulSetStatus': 'collisionCount', 'DaemonSetSpec': 'revisionHistoryLimit', 'DaemonSetStatus': 'collisionCount',
    'JobSpec': 'activeDeadlineSeconds backoffLimit backoffLimitPerIndex completions manualSelector maxFailedIndexes '
               'parallelism suspend ttlSecondsAfterFinished completionMode managedBy podReplacementPolicy',
    'JobStatus': 'ready terminating failedIndexes', 'SuccessPolicyRule': 'succeededCount succeededIndexes',
    'PodFailurePolicyOnExitCodesRequirement': 'containerName',
    'CronJobSpec': 'failedJobsHistoryLimit startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone',
    'HorizontalPodAutoscalerSpec': 'minReplicas targetCPUUtilizationPercentage',
    'HorizontalPodAutoscalerStatus': 'observedGeneration currentCPUUtilizationPercentage',
    'HPAScalingRules': 'stabilizationWindowSeconds selectPolicy', 'MetricTarget': 'averageUtilization',
    'MetricValueStatus': 'averageUtilization',
    'PodDisruptionBudgetStatus': 'disruptionsAllowed currentHealthy desiredHealthy expectedPods',
    'PodDisruptionBudgetSpec': 'unhealthyPodEvictionPolicy',
    'IngressSpec': 'ingressClassName', 'IngressClassParametersReference': 'apiGroup namespace scope',
    'HTTPIngressPath': 'pathType', 'ReplicationControllerSpec': 'replicas',
    'PersistentVolumeSpec': 'volumeMode volumeAttributesClassName', 'LocalVolumeSource': 'fsType',
    'AzureFilePersistentVolumeSource': 'secretNamespace', 'GlusterfsPersistentVolumeSource': 'endpointsNamespace',
    'PersistentVolumeClaimStatus': 'currentVolumeAttributesClassName',
    'StorageClass': 'allowVolumeExpansion reclaimPolicy volumeBindingMode', 'PriorityClass': 'preemptionPolicy',
    'VolumeAttachmentSource': 'persistentVolumeName', 'VolumeNodeResources': 'count',
    'CSIDriverSpec': 'attachRequired nodeAllocatableUpdatePeriodSeconds podInfoOnMount requiresRepublish seLinuxMount '
                     'storageCapacity fsGroupPolicy preventPodSchedulingIfMissing serviceAccountTokenInSecrets',
    'storage.TokenRequest': 'expirationSeconds', 'VolumeError': 'errorCode',
    'CertificateSigningRequestSpec': 'expirationSeconds', 'ServiceReference': 'path port',
    'MutatingWebhook': 'timeoutSeconds failurePolicy matchPolicy reinvocationPolicy sideEffects',
    'ValidatingWebhook': 'timeoutSeconds failurePolicy matchPolicy sideEffects', 'WebhookClientConfig': 'url',
    'RuleWithOperations': 'scope', 'NamedRuleWithOperations': 'scope', 'MatchResources': 'matchPolicy',
    'ParamRef': 'parameterNotFoundAction', 'ValidatingAdmissionPolicySpec': 'failurePolicy',
    'MutatingAdmissionPolicySpec': 'failurePolicy', 'Validation': 'reason',
    'ExemptPriorityLevelConfiguration': 'lendablePercent nominalConcurrencyShares',
    'LimitedPriorityLevelConfiguration': 'borrowingLimitPercent lendablePercent nominalConcurrencyShares',
    'JSONSchemaProps': 'maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf '
                       'x-kubernetes-preserve-unknown-fields x-kubernetes-list-type x-kubernetes-map-type $ref',
    'CustomResourceDefinitionVersion': 'deprecationWarning', 'CustomResourceSubresourceScale': 'labelSelectorPath',
    'ValidationRule': 'reason optionalOldSelf', 'DeviceAttribute': 'bool int string version',
    'DeviceToleration': 'tolerationSeconds', 'ResourceSliceSpec': 'nodeName allNodes perDeviceNodeSelection',
    'Device': 'nodeName allNodes allowMultipleAllocations bindsToNode', 'DeviceClassSpec': 'extendedResourceName',
    'ExactDeviceRequest': 'adminAccess', 'DeviceRequestAllocationResult': 'adminAccess shareID',
    'DeviceConstraint': 'matchAttribute distinctAttribute',
}  # fmt: skip
POINTERS = frozenset(f'{struct}.{field}' for struct, fields in _POINTER_FIELDS.items() for field in fields.split())

# Go's named types, where an error message would show them.
NAMED_TYPES = {
    'PodSpec.restartPolicy': 'v1.RestartPolicy', 'PodSpec.dnsPolicy': 'v1.DNSPolicy',
    'Container.imagePullPolicy': 'v1.PullPolicy', 'ContainerPort.protocol': 'v1.Protocol',
    'Container.terminationMessagePolicy': 'v1.TerminationMessagePolicy', 'ServiceSpec.type': 'v1.ServiceType',
    'ServiceSpec.sessionAffinity': 'v1.ServiceAffinity', 'ServicePort.protocol': 'v1.Protocol',
    'ResourceRequirements.limits': 'v1.ResourceList', 'ResourceRequirements.requests': 'v1.ResourceList',
    'DeploymentStrategy.type': 'v1.DeploymentStrategyType', 'Secret.type': 'v1.SecretType',
    'HTTPGetAction.scheme': 'v1.URIScheme', 'ObjectMeta.uid': 'types.UID', 'OwnerReference.uid': 'types.UID',
    'EndpointSlice.addressType': 'v1.AddressType', 'EmptyDirVolumeSource.medium': 'v1.StorageMedium',
    'Toleration.operator': 'v1.TolerationOperator', 'Toleration.effect': 'v1.TaintEffect',
    'PodStatus.phase': 'v1.PodPhase', 'PodCondition.type': 'v1.PodConditionType',
}  # fmt: skip
