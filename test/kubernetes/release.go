package main

import (
	"errors"
	"fmt"
	"strings"
)

// release is one that helm has installed.
type release struct {
	name, namespace string
	tag             string // of the image that it is to run
}

// kinds are all that a release makes, and what the controllers make of it.
const kinds = "deployments,pods,poddisruptionbudgets,services,endpointslices,networkpolicies,cronjobs,jobs," +
	"persistentvolumeclaims,horizontalpodautoscalers,scaledobjects,triggerauthentications,serviceaccounts,secrets"

// part is the name of what belongs to a component.
func (r release) part(component string) string {
	if strings.Contains(r.name, "genrec") {
		return r.name + "-" + component
	}
	return r.name + "-genrec-" + component
}

// missing tells what is not yet as docs/DEPLOY.md says.
func (r release) missing(all objects) (err error) {
	for _, component := range []string{"ingest", "infer", "serve"} {
		err = errors.Join(err, r.missingService(all, component))
	}
	ready := 0
	for _, slice := range all.of("EndpointSlice").with("kubernetes.io/service-name", r.part("serve")) {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready && len(slice.Ports) == 1 && slice.Ports[0].Port == 8080 {
				ready++
			}
		}
	}
	if serve, _ := all.named("Deployment", r.part("serve")); ready != serve.Spec.Replicas {
		err = errors.Join(err, fmt.Errorf("service %s leads to port 8080 of %d pods that are ready, want %d", r.part("serve"), ready, serve.Spec.Replicas))
	}
	for _, component := range []string{"retrain", "prune"} {
		if _, found := all.named("CronJob", r.part(component)); !found {
			err = errors.Join(err, fmt.Errorf("there is no CronJob %s", r.part(component)))
		}
	}
	for _, p := range all.of("Pod") {
		err = errors.Join(err, missingOfPod(all, p))
	}
	return errors.Join(err, missingOfScaling(all))
}

// missingService looks for the pods of a Deployment, and for their budget.
func (r release) missingService(all objects, component string) error {
	name := r.part(component)
	d, found := all.named("Deployment", name)
	if !found {
		return fmt.Errorf("there is no Deployment %s", name)
	}
	if c := d.condition("ReplicaFailure"); c.Status == "True" {
		return fmt.Errorf("the pods of %s are refused: %s", name, c.Message)
	}
	pods := all.of("Pod").with("app.kubernetes.io/component", component)
	if len(pods) != d.Spec.Replicas || !d.is("Available") {
		return fmt.Errorf("%s has %d pods, want %d: %s", name, len(pods), d.Spec.Replicas, d.condition("Progressing").Message)
	}
	nodes := make(map[string]bool)
	for _, p := range pods {
		nodes[p.Spec.NodeName] = true
		for _, c := range p.Spec.Containers {
			if !strings.Contains(c.Image+"-", ":"+r.tag+"-") {
				return fmt.Errorf("%s runs %s, want the tag %s", p, c.Image, r.tag)
			}
		}
	}
	if len(nodes) != len(pods) {
		return fmt.Errorf("the %d pods of %s are on %d nodes, want one on each", len(pods), name, len(nodes))
	}
	budget, _ := all.named("PodDisruptionBudget", name)
	if budget.Status.ExpectedPods != len(pods) || budget.Status.DisruptionsAllowed != 1 {
		return fmt.Errorf("the budget of %s is for %d pods, %d of which may be drained, want %d and 1",
			name, budget.Status.ExpectedPods, budget.Status.DisruptionsAllowed, len(pods))
	}
	return nil
}

// missingOfPod tells what keeps a pod from running, or lets others connect to it.
func missingOfPod(all objects, p object) (err error) {
	if phase := p.Status.Phase; phase != "Running" && phase != "Succeeded" {
		err = fmt.Errorf("%s is %s: %s", p, phase, p.condition("PodScheduled").Message)
	}
	for _, key := range p.Spec.secrets() {
		if secret, found := all.named("Secret", key.Name); !found || secret.Data[key.Key] == "" {
			err = errors.Join(err, fmt.Errorf("%s needs %s of the Secret %s, which is not there", p, key.Key, key.Name))
		}
	}
	for _, v := range p.Spec.Volumes {
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				err = errors.Join(err, fmt.Errorf("%s gets a token of the cluster in %s", p, v.Name))
			}
		}
		if claim, found := all.named("PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName); v.PersistentVolumeClaim.ClaimName != "" && (!found || claim.Status.Phase != "Bound") {
			err = errors.Join(err, fmt.Errorf("%s needs the claim %s, which is %q", p, v.PersistentVolumeClaim.ClaimName, claim.Status.Phase))
		}
	}
	for _, policy := range all.of("NetworkPolicy") {
		if isSubset(policy.Spec.PodSelector.MatchLabels, p.Metadata.Labels) {
			return err
		}
	}
	return errors.Join(err, fmt.Errorf("everybody may connect to %s", p))
}

func isSubset(some map[string]any, all map[string]string) bool {
	for name, value := range some {
		if all[name] != value {
			return false
		}
	}
	return true
}

// missingOfScaling looks whether what scales finds what it scales, and what it asks Kafka with.
func missingOfScaling(all objects) (err error) {
	for _, o := range all.of("HorizontalPodAutoscaler") {
		if !o.is("AbleToScale") {
			err = errors.Join(err, fmt.Errorf("%s does not scale: %s", o, o.condition("AbleToScale").Message))
		}
		if d, _ := all.named("Deployment", o.Spec.ScaleTargetRef.Name); d.Spec.Replicas < o.Spec.MinReplicas {
			err = errors.Join(err, fmt.Errorf("%s leaves %s at %d pods, want %d at least", o, d, d.Spec.Replicas, o.Spec.MinReplicas))
		}
	}
	for _, o := range all.of("ScaledObject") {
		if _, found := all.named("Deployment", o.Spec.ScaleTargetRef.Name); !found {
			err = errors.Join(err, fmt.Errorf("%s scales %q, which is not there", o, o.Spec.ScaleTargetRef.Name))
		}
		for _, trigger := range o.Spec.Triggers {
			access, found := all.named("TriggerAuthentication", trigger.AuthenticationRef.Name)
			if !found && trigger.AuthenticationRef.Name != "" {
				err = errors.Join(err, fmt.Errorf("%s needs %q, which is not there", o, trigger.AuthenticationRef.Name))
			}
			for _, key := range access.Spec.SecretTargetRef {
				if secret, found := all.named("Secret", key.Name); !found || secret.Data[key.Key] == "" {
					err = errors.Join(err, fmt.Errorf("%s needs %s of the Secret %s, which is not there", access, key.Key, key.Name))
				}
			}
		}
	}
	return err
}
