/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sim-qemu: options. */
#include "tests/sim/sim-disk.h"
#include "tests/sim/sim.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

SimOptions sim_options = {
    .ram_mib = 16,
    .step_us = 500,
    .seed = 1,
    .device_bytes = 59000,
};

static const GOptionEntry entries[] = {
    {"qmp", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &sim_options.qmp,
     "A monitor's unix socket; repeatable", "PATH"},
    {"ram", 0, 0, G_OPTION_ARG_INT, &sim_options.ram_mib,
     "RAM; libcolotrack takes 16 and more for a guest's", "MIB"},
    {"spare", 0, 0, G_OPTION_ARG_INT, &sim_options.spare_mib,
     "The end of the RAM, of which the guest only wrote every second page",
     "MIB"},
    {"step", 0, 0, G_OPTION_ARG_INT, &sim_options.step_us,
     "From one step to the next", "US"},
    {"seed", 0, 0, G_OPTION_ARG_INT64, &sim_options.seed, "RAM at boot", "N"},
    {"salt", 0, 0, G_OPTION_ARG_INT64, &sim_options.salt,
     "The guest's input: other salts, other ways", "N"},
    {"device-bytes", 0, 0, G_OPTION_ARG_INT, &sim_options.device_bytes,
     "Size of the device state", "N"},
    {"extra-devices", 0, 0, G_OPTION_ARG_INT, &sim_options.extra_devices,
     "PCI devices beside the bridge", "N"},
    {"no-shutdown", 0, 0, G_OPTION_ARG_NONE, &sim_options.no_shutdown,
     "Stay when the guest shuts down", NULL},
    {"stopped", 'S', 0, G_OPTION_ARG_NONE, &sim_options.stopped,
     "Do not start the guest", NULL},
    {"log", 0, 0, G_OPTION_ARG_FILENAME, &sim_options.log,
     "Lines: time, word, step, hash", "FILE"},
    {"pages", 0, 0, G_OPTION_ARG_FILENAME, &sim_options.pages,
     "Keep each page's hash of each saved state there, to say which differ",
     "DIR"},
    {"machine", 0, 0, G_OPTION_ARG_STRING, &sim_options.machine, "Its type",
     "NAME"},
    {"qemu-version", 0, 0, G_OPTION_ARG_STRING, &sim_options.version,
     "The version of the greeting", "X.Y.Z"},
    {"disk", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sim_options.disks,
     "A disk of the guest, a file or behind NBD; repeatable", "NAME=WHERE"},
    {NULL},
};

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1 ||
        !sim_options.qmp || sim_options.ram_mib < 1 ||
        sim_options.ram_mib > 1024 || sim_options.spare_mib < 0 ||
        sim_options.spare_mib >= sim_options.ram_mib ||
        sim_options.device_bytes < 0) {
        fprintf(stderr, "sim-qemu: %s\n", error ? error->message : "usage");
        return 2;
    }
    if (!sim_options.machine) {
        sim_options.machine = g_strdup("pc-i440fx-7.2");
    }
    if (!sim_options.version) {
        sim_options.version = g_strdup("7.2.22");
    }
    /* A test that dies leaves nothing behind. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (char **d = sim_options.disks; d && *d; d++) {
        if (!sim_disk_open(*d)) {
            fprintf(stderr, "sim-qemu: cannot open disk %s\n", *d);
            return 1;
        }
    }
    sim_guest_start();
    for (char **path = sim_options.qmp; *path; path++) {
        sim_monitor_listen(*path);
    }
    if (!sim_options.stopped) {
        sim_cont();
    }
    sim_monitor_run();
    sim_log("exit", "");
    return 0;
}
