// Does with a file what nn~ does, as a Pure Data external: [nnhost~ FILE BLOCK]. Built by play.py.
#include <torch/script.h>

#include <m_pd.h>
#include <vector>

static t_class *host_class;

struct Host {
    t_object object;
    t_float scalar;
    torch::jit::Module *module;
    std::vector<float> *in, *out;
    size_t channels, block, at;
};

static void play(Host *host) {
    c10::InferenceMode guard;
    auto signals = torch::from_blob(host->in->data(), {1, (int64_t)host->channels, (int64_t)host->block}).clone();
    auto audio = host->module->get_method("forward")({signals}).toTensor().contiguous();
    std::copy_n(audio.data_ptr<float>(), host->block, host->out->begin());
}

static t_int *perform(t_int *w) {
    Host *host = (Host *)w[1];
    const size_t n = (size_t)w[2];
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < host->channels; c++) {
            (*host->in)[c * host->block + host->at + i] = ((t_sample *)w[3 + c])[i];
        }
    }
    for (size_t i = 0; i < n; i++) {
        ((t_sample *)w[3 + host->channels])[i] = (*host->out)[host->at + i];
    }
    host->at += n;
    if (host->at >= host->block) {
        play(host);
        host->at = 0;
    }
    return w + 4 + host->channels;
}

static void dsp(Host *host, t_signal **signals) {
    std::vector<t_int> all{(t_int)host, (t_int)signals[0]->s_n};
    for (size_t c = 0; c <= host->channels; c++) {
        all.push_back((t_int)signals[c]->s_vec);
    }
    dsp_addv(perform, (int)all.size(), all.data());
}

static void set(Host *host, t_symbol *name, t_float value) {
    auto code = host->module->get_method(std::string("set_") + name->s_name)({(double)value}).toInt();
    post("nnhost~: set %s %g gives %d", name->s_name, value, (int)code);
}

static void *create(t_symbol *file, t_float block) {
    Host *host = (Host *)pd_new(host_class);
    host->module = new torch::jit::Module(torch::jit::load(file->s_name));
    host->module->eval();
    for (const auto &name : host->module->get_method("get_methods")({}).toListRef()) {
        post("nnhost~: method %s", name.toStringRef().c_str());
    }
    auto params = host->module->attr("forward_params").toTensor();
    host->channels = (size_t)params[0].item<int64_t>();
    host->block = (size_t)block;
    host->at = 0;
    host->in = new std::vector<float>(host->channels * host->block);
    host->out = new std::vector<float>(host->block);
    auto code = host->module->get_method("set_sample_rate")({(int64_t)sys_getsr()}).toInt();
    post("nnhost~: %zu signals, %g Hz (%d)", host->channels, sys_getsr(), (int)code);
    for (size_t c = 1; c < host->channels; c++) {
        inlet_new(&host->object, &host->object.ob_pd, &s_signal, &s_signal);
    }
    outlet_new(&host->object, &s_signal);
    return host;
}

extern "C" void nnhost_tilde_setup(void) {
    host_class = class_new(gensym("nnhost~"), (t_newmethod)create, nullptr, sizeof(Host), CLASS_DEFAULT, A_SYMBOL,
                           A_FLOAT, A_NULL);
    CLASS_MAINSIGNALIN(host_class, Host, scalar);
    class_addmethod(host_class, (t_method)dsp, gensym("dsp"), A_CANT, A_NULL);
    class_addmethod(host_class, (t_method)set, gensym("set"), A_SYMBOL, A_FLOAT, A_NULL);
}
