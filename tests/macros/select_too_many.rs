use gambol::select;
use std::future::ready;

async fn one_more_than_64() {
    select! {
        0 = ready(0) => {}
        1 = ready(1) => {}
        2 = ready(2) => {}
        3 = ready(3) => {}
        4 = ready(4) => {}
        5 = ready(5) => {}
        6 = ready(6) => {}
        7 = ready(7) => {}
        8 = ready(8) => {}
        9 = ready(9) => {}
        10 = ready(10) => {}
        11 = ready(11) => {}
        12 = ready(12) => {}
        13 = ready(13) => {}
        14 = ready(14) => {}
        15 = ready(15) => {}
        16 = ready(16) => {}
        17 = ready(17) => {}
        18 = ready(18) => {}
        19 = ready(19) => {}
        20 = ready(20) => {}
        21 = ready(21) => {}
        22 = ready(22) => {}
        23 = ready(23) => {}
        24 = ready(24) => {}
        25 = ready(25) => {}
        26 = ready(26) => {}
        27 = ready(27) => {}
        28 = ready(28) => {}
        29 = ready(29) => {}
        30 = ready(30) => {}
        31 = ready(31) => {}
        32 = ready(32) => {}
        33 = ready(33) => {}
        34 = ready(34) => {}
        35 = ready(35) => {}
        36 = ready(36) => {}
        37 = ready(37) => {}
        38 = ready(38) => {}
        39 = ready(39) => {}
        40 = ready(40) => {}
        41 = ready(41) => {}
        42 = ready(42) => {}
        43 = ready(43) => {}
        44 = ready(44) => {}
        45 = ready(45) => {}
        46 = ready(46) => {}
        47 = ready(47) => {}
        48 = ready(48) => {}
        49 = ready(49) => {}
        50 = ready(50) => {}
        51 = ready(51) => {}
        52 = ready(52) => {}
        53 = ready(53) => {}
        54 = ready(54) => {}
        55 = ready(55) => {}
        56 = ready(56) => {}
        57 = ready(57) => {}
        58 = ready(58) => {}
        59 = ready(59) => {}
        60 = ready(60) => {}
        61 = ready(61) => {}
        62 = ready(62) => {}
        63 = ready(63) => {}
        64 = ready(64) => {}
    }
}

fn main() {}
