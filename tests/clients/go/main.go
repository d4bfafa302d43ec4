// azbatch, api-version 2024-07-01.20.0, signed in with a token over TLS.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
)

var ctx = context.Background()

// credential fetches a token from the emulator's own token endpoint.
type credential struct {
	endpoint string
	http     *http.Client
}

func (c credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"clients"}, "client_secret": {"secret"}, "scope": options.Scopes}
	response, err := c.http.PostForm(c.endpoint+"/clients/oauth2/v2.0/token", form)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	defer response.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&token); err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: token.AccessToken, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func check(name string, call func() error) {
	verdict := "ok"
	if err := call(); err != nil {
		verdict = strings.Join(strings.Fields(err.Error()), " ")
		if len(verdict) > 120 {
			verdict = verdict[:120]
		}
	}
	fmt.Printf("%s\t%s\n", name, verdict)
}

func until(condition func() (bool, error)) error {
	for range 600 {
		if done, err := condition(); done || err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("not reached")
}

func expect(what bool) error {
	if !what {
		return errors.New("not as expected")
	}
	return nil
}

func only[T any](_ T, err error) error { return err }

func main() {
	endpoint := os.Args[1]
	pem, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	client, err := azbatch.NewClient(endpoint, credential{endpoint, transport}, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: transport}})
	if err != nil {
		panic(err)
	}
	id := to.Ptr("cgo")
	info := &azbatch.PoolInfo{PoolID: id}
	machine := &azbatch.VirtualMachineConfiguration{
		ImageReference: &azbatch.ImageReference{Publisher: to.Ptr("canonical"), Offer: to.Ptr("0001-com-ubuntu-server-jammy"), SKU: to.Ptr("22_04-lts")},
		NodeAgentSKUID: to.Ptr("batch.node.ubuntu 22.04"),
	}
	pool := azbatch.CreatePoolContent{ID: id, VMSize: to.Ptr("standard_d2s_v3"), TargetDedicatedNodes: to.Ptr(int32(1)), VirtualMachineConfiguration: machine}
	node := ""
	check("create pool", func() error { return only(client.CreatePool(ctx, pool, nil)) })
	check("get pool", func() error {
		found, err := client.GetPool(ctx, "cgo", nil)
		return errors.Join(err, expect(err != nil || *found.VMSize == "standard_d2s_v3"))
	})
	check("pool exists", func() error { return only(client.PoolExists(ctx, "cgo", nil)) })
	check("list pools", func() error { return only(client.NewListPoolsPager(nil).NextPage(ctx)) })
	check("nodes become idle", func() error {
		return until(func() (bool, error) {
			page, err := client.NewListNodesPager("cgo", nil).NextPage(ctx)
			if err != nil || len(page.Value) == 0 {
				return false, err
			}
			node = *page.Value[0].ID
			return *page.Value[0].State == azbatch.NodeStateIdle, nil
		})
	})
	check("patch pool", func() error {
		return only(client.UpdatePool(ctx, "cgo", azbatch.UpdatePoolContent{Metadata: []azbatch.MetadataItem{{Name: to.Ptr("a"), Value: to.Ptr("b")}}}, nil))
	})
	check("node counts", func() error { return only(client.NewListPoolNodeCountsPager(nil).NextPage(ctx)) })
	check("supported images", func() error { return only(client.NewListSupportedImagesPager(nil).NextPage(ctx)) })
	check("create job", func() error { return only(client.CreateJob(ctx, azbatch.CreateJobContent{ID: id, PoolInfo: info}, nil)) })
	check("patch job", func() error { return only(client.UpdateJob(ctx, "cgo", azbatch.UpdateJobContent{Priority: to.Ptr(int32(5))}, nil)) })
	check("replace job", func() error {
		found, err := client.GetJob(ctx, "cgo", nil)
		if err != nil {
			return err
		}
		return only(client.ReplaceJob(ctx, "cgo", found.Job, nil))
	})
	check("create task", func() error {
		return only(client.CreateTask(ctx, "cgo", azbatch.CreateTaskContent{ID: to.Ptr("one"), CommandLine: to.Ptr("/bin/echo hello")}, nil))
	})
	check("create task collection", func() error {
		many := azbatch.TaskGroup{}
		for n := range 100 {
			many.Value = append(many.Value, azbatch.CreateTaskContent{ID: to.Ptr(fmt.Sprintf("t%03d", n)), CommandLine: to.Ptr("/bin/true")})
		}
		added, err := client.CreateTaskCollection(ctx, "cgo", many, nil)
		return errors.Join(err, expect(err != nil || len(added.Value) == 100))
	})
	check("tasks complete", func() error {
		return until(func() (bool, error) {
			task, err := client.GetTask(ctx, "cgo", "one", nil)
			return err == nil && *task.State == azbatch.TaskStateCompleted, err
		})
	})
	check("list tasks", func() error {
		count := 0
		for pager := client.NewListTasksPager("cgo", &azbatch.ListTasksOptions{MaxResults: to.Ptr(int32(30))}); pager.More(); {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			count += len(page.Value)
		}
		return expect(count == 101)
	})
	check("filter tasks", func() error {
		options := &azbatch.ListTasksOptions{Filter: to.Ptr("state eq 'completed'"), SelectParam: []string{"id"}}
		return only(client.NewListTasksPager("cgo", options).NextPage(ctx))
	})
	check("read file", func() error {
		file, err := client.GetTaskFile(ctx, "cgo", "one", "stdout.txt", nil)
		if err != nil {
			return err
		}
		defer file.Body.Close()
		content, err := io.ReadAll(file.Body)
		return errors.Join(err, expect(string(content) == "hello\n"))
	})
	check("list files", func() error { return only(client.NewListTaskFilesPager("cgo", "one", nil).NextPage(ctx)) })
	check("task counts", func() error { return only(client.GetJobTaskCounts(ctx, "cgo", nil)) })
	check("disable job", func() error {
		return only(client.DisableJob(ctx, "cgo", azbatch.DisableJobContent{DisableTasks: to.Ptr(azbatch.DisableJobOptionRequeue)}, nil))
	})
	check("enable job", func() error {
		err := until(func() (bool, error) {
			job, err := client.GetJob(ctx, "cgo", nil)
			return err == nil && *job.State == azbatch.JobStateDisabled, err
		})
		if err != nil {
			return err
		}
		return only(client.EnableJob(ctx, "cgo", nil))
	})
	check("create job schedule", func() error {
		content := azbatch.CreateJobScheduleContent{ID: to.Ptr("sgo"), Schedule: &azbatch.JobScheduleConfiguration{RecurrenceInterval: to.Ptr("PT1H")}, JobSpecification: &azbatch.JobSpecification{PoolInfo: info}}
		return only(client.CreateJobSchedule(ctx, content, nil))
	})
	check("list job schedules", func() error { return only(client.NewListJobSchedulesPager(nil).NextPage(ctx)) })
	check("delete job schedule", func() error { return only(client.DeleteJobSchedule(ctx, "sgo", nil)) })
	check("create node user", func() error {
		return only(client.CreateNodeUser(ctx, "cgo", node, azbatch.CreateNodeUserContent{Name: to.Ptr("u"), Password: to.Ptr("p")}, nil))
	})
	check("remote login settings", func() error { return only(client.GetNodeRemoteLoginSettings(ctx, "cgo", node, nil)) })
	check("reboot node", func() error { return only(client.RebootNode(ctx, "cgo", node, nil)) })
	check("resize pool", func() error {
		return only(client.ResizePool(ctx, "cgo", azbatch.ResizePoolContent{TargetDedicatedNodes: to.Ptr(int32(0))}, nil))
	})
	check("an error is read", func() error {
		_, err := client.GetJob(ctx, "nothing", nil)
		var refusal *azcore.ResponseError
		return expect(errors.As(err, &refusal) && refusal.StatusCode == 404)
	})
	check("delete job", func() error { return only(client.DeleteJob(ctx, "cgo", nil)) })
	check("delete pool", func() error { return only(client.DeletePool(ctx, "cgo", nil)) })
}
