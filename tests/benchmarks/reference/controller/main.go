// An operator for BatchTasks as a Go developer would write it with controller-runtime, to compare with.
//
// It does for a BatchTask what azure-batch-operator does at the least: it adds a finalizer, adds the task to Azure Batch, and
// writes the final status, so each object costs two patches. It has no accounts, no ownership, no validation, no drift, and no
// recovery. Calls of Azure Batch are HTTP requests without an SDK, which is cheaper than the azbatch package.
//
//	controller KUBECONFIG NAMESPACE
//
// It reads BATCH_ENDPOINT, BATCH_ACCOUNT, and BATCH_KEY.
package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	finalizer    = "azurebatch.io/finalizer"
	apiVersion   = "2024-07-01.20.0"
	workers      = 32
	pollInterval = 2 * time.Second
)

// BatchTask has the members of the custom resource that this program uses.
type BatchTask struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Spec   `json:"spec"`
	Status            Status `json:"status,omitempty"`
}

// Spec names the job, whose ID is its name, and the command.
type Spec struct {
	JobRef      Reference `json:"jobRef"`
	CommandLine string    `json:"commandLine"`
}

// Reference names an object of the same namespace.
type Reference struct {
	Name string `json:"name"`
}

// Status is what a user sees of an ended task.
type Status struct {
	Phase              string             `json:"phase,omitempty"`
	ID                 string             `json:"id,omitempty"`
	JobID              string             `json:"jobId,omitempty"`
	State              string             `json:"state,omitempty"`
	ExitCode           *int32             `json:"exitCode,omitempty"`
	StartTime          string             `json:"startTime,omitempty"`
	EndTime            string             `json:"endTime,omitempty"`
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// DeepCopyObject makes a BatchTask an object of the API machinery.
func (t *BatchTask) DeepCopyObject() runtime.Object {
	out := *t
	t.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Status.Conditions = append([]metav1.Condition(nil), t.Status.Conditions...)
	return &out
}

// BatchTaskList is what the API server answers to a list.
type BatchTaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BatchTask `json:"items"`
}

// DeepCopyObject makes a BatchTaskList an object of the API machinery.
func (l *BatchTaskList) DeepCopyObject() runtime.Object {
	out := BatchTaskList{TypeMeta: l.TypeMeta, ListMeta: l.ListMeta, Items: make([]BatchTask, len(l.Items))}
	for i := range l.Items {
		out.Items[i] = *(l.Items[i].DeepCopyObject().(*BatchTask))
	}
	return &out
}

// remoteTask is a task as Azure Batch lists it.
type remoteTask struct {
	ID            string `json:"id"`
	State         string `json:"state"`
	ExecutionInfo struct {
		StartTime string `json:"startTime"`
		EndTime   string `json:"endTime"`
		ExitCode  *int32 `json:"exitCode"`
	} `json:"executionInfo"`
}

// batch calls Azure Batch.
type batch struct {
	endpoint string
	account  string
	key      []byte
	http     *http.Client
}

// sign adds the signature of a request with the shared key of the account.
func (b *batch) sign(request *http.Request) error {
	date := time.Now().UTC().Format(http.TimeFormat)
	request.Header.Set("ocp-date", date)
	length := ""
	if request.Method != http.MethodGet {
		length = strconv.FormatInt(request.ContentLength, 10)
	}
	// Between them, the headers that these requests do not have.
	lines := []string{request.Method, "", "", length, "", request.Header.Get("Content-Type"), "", "", "", "", "", "",
		"ocp-date:" + date, "/" + b.account + request.URL.EscapedPath()}
	query := request.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		lines = append(lines, strings.ToLower(name)+":"+query.Get(name))
	}
	code := hmac.New(sha256.New, b.key)
	if _, err := code.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return err
	}
	request.Header.Set("Authorization", "SharedKey "+b.account+":"+base64.StdEncoding.EncodeToString(code.Sum(nil)))
	return nil
}

func (b *batch) call(ctx context.Context, method, url string, body, result any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json; odata=minimalmetadata")
	}
	if err := b.sign(request); err != nil {
		return err
	}
	answer, err := b.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusConflict {
		return fmt.Errorf("%s %s: %s %s", method, url, answer.Status, text)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(text, result)
}

// add adds a task. That it exists already is no error.
func (b *batch) add(ctx context.Context, job, id, command string) error {
	body := map[string]string{"id": id, "commandLine": command}
	return b.call(ctx, "POST", b.endpoint+"/jobs/"+job+"/tasks?api-version="+apiVersion, body, nil)
}

// completed calls found for each completed task of a job.
func (b *batch) completed(ctx context.Context, job string, found func(remoteTask)) error {
	query := url.Values{"api-version": {apiVersion}, "$filter": {"state eq 'completed'"}, "$select": {"id,state,executionInfo"}}
	// A space as %20, since the service signs a plus sign as it is.
	next := b.endpoint + "/jobs/" + job + "/tasks?" + strings.ReplaceAll(query.Encode(), "+", "%20")
	for next != "" {
		var page struct {
			Value []remoteTask `json:"value"`
			Next  string       `json:"odata.nextLink"`
		}
		if err := b.call(ctx, "GET", next, nil, &page); err != nil {
			return err
		}
		for _, task := range page.Value {
			found(task)
		}
		next = page.Next
	}
	return nil
}

// reconciler brings a BatchTask to Azure Batch and its end into the status.
type reconciler struct {
	client.Client
	batch *batch

	mutex  sync.Mutex
	added  map[types.UID]bool
	jobs   map[string]bool
	ended  map[string]remoteTask // by job/id
	events chan event.GenericEvent
	space  string
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var task BatchTask
	if err := r.Get(ctx, request.NamespacedName, &task); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if task.Status.EndTime != "" {
		return ctrl.Result{}, nil
	}
	if !controllerutil.ContainsFinalizer(&task, finalizer) {
		before := task.DeepCopyObject().(*BatchTask)
		controllerutil.AddFinalizer(&task, finalizer)
		if err := r.Patch(ctx, &task, client.MergeFrom(before)); err != nil {
			return ctrl.Result{}, err
		}
	}
	r.mutex.Lock()
	added, job := r.added[task.UID], task.Spec.JobRef.Name
	r.mutex.Unlock()
	if !added {
		if err := r.batch.add(ctx, job, task.Name, task.Spec.CommandLine); err != nil {
			return ctrl.Result{}, err
		}
		r.mutex.Lock()
		r.added[task.UID] = true
		r.jobs[job] = true
		r.mutex.Unlock()
		return ctrl.Result{}, nil
	}
	r.mutex.Lock()
	remote, ended := r.ended[job+"/"+task.Name]
	r.mutex.Unlock()
	if !ended {
		return ctrl.Result{}, nil
	}
	before := task.DeepCopyObject().(*BatchTask)
	task.Status = r.status(&task, remote)
	return ctrl.Result{}, r.Status().Patch(ctx, &task, client.MergeFrom(before))
}

func (r *reconciler) status(task *BatchTask, remote remoteTask) Status {
	now := metav1.Now()
	phase, done := "Succeeded", "Complete"
	if remote.ExecutionInfo.ExitCode == nil || *remote.ExecutionInfo.ExitCode != 0 {
		phase, done = "Failed", "Failed"
	}
	condition := func(kind string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: phase, Message: "The task has ended",
			LastTransitionTime: now, ObservedGeneration: task.Generation}
	}
	return Status{
		Phase: phase, ID: remote.ID, JobID: task.Spec.JobRef.Name, State: remote.State,
		ExitCode: remote.ExecutionInfo.ExitCode, StartTime: remote.ExecutionInfo.StartTime,
		EndTime: remote.ExecutionInfo.EndTime, ObservedGeneration: task.Generation,
		Conditions: []metav1.Condition{condition("Ready"), condition(done)},
	}
}

// poll lists the ended tasks of each job, and requeues the BatchTasks of those that are new.
func (r *reconciler) poll(ctx context.Context) error {
	for {
		r.mutex.Lock()
		jobs := make([]string, 0, len(r.jobs))
		for job := range r.jobs {
			jobs = append(jobs, job)
		}
		r.mutex.Unlock()
		for _, job := range jobs {
			err := r.batch.completed(ctx, job, func(task remoteTask) {
				key := job + "/" + task.ID
				r.mutex.Lock()
				_, known := r.ended[key]
				r.ended[key] = task
				r.mutex.Unlock()
				if !known {
					object := &BatchTask{ObjectMeta: metav1.ObjectMeta{Namespace: r.space, Name: task.ID}}
					r.events <- event.GenericEvent{Object: object}
				}
			})
			if err != nil {
				log.FromContext(ctx).Error(err, "list of tasks", "job", job)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollInterval):
		}
	}
}

func run(kubeconfig, namespace string) error {
	ctx := ctrl.SetupSignalHandler()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // as azure-batch-operator: API Priority and Fairness limits the requests
	version := schema.GroupVersion{Group: "azurebatch.io", Version: "v1alpha1"}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(version, &BatchTask{}, &BatchTaskList{})
	metav1.AddToGroupVersion(scheme, version)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, workers
	key, err := base64.StdEncoding.DecodeString(os.Getenv("BATCH_KEY"))
	if err != nil {
		return err
	}
	service := &batch{
		endpoint: strings.TrimSuffix(os.Getenv("BATCH_ENDPOINT"), "/"), account: os.Getenv("BATCH_ACCOUNT"), key: key,
		http: &http.Client{Transport: transport},
	}
	r := &reconciler{
		Client: manager.GetClient(), batch: service, space: namespace,
		added: map[types.UID]bool{}, jobs: map[string]bool{}, ended: map[string]remoteTask{},
		events: make(chan event.GenericEvent),
	}
	if err := manager.Add(pollRunner(r.poll)); err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).For(&BatchTask{}).
		WatchesRawSource(source.Channel(r.events, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}

type pollRunner func(context.Context) error

func (p pollRunner) Start(ctx context.Context) error { return p(ctx) }

func main() {
	ctrl.SetLogger(funcr.New(func(prefix, args string) { fmt.Fprintln(os.Stderr, prefix, args) }, funcr.Options{}))
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
